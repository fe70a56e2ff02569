"""Different words for one thing in pathology: abbreviations, plain and Latin names, spellings.

A line is one concept: its names, the one by which a sentence encoder knows it best first. Both reports and questions
are read with it, so that "RCC" finds "renal cell carcinoma". What belongs here is what a dictionary of medicine
would call synonyms; nothing that only goes with something else, and no descriptions. A lab's own names can be added:
`Lexicon(LINES + "…")`.
"""

from __future__ import annotations

from functools import cache

from slidelake.index.reports.stems import Word, words_in

__all__ = ["LINES", "Lexicon", "default_lexicon"]

LINES = """
# organs and places
kidney; renal; nephric; nephro
bladder; urinary bladder; vesical; vesica; urine bladder
ureter; ureteral; ureteric
urethra; urethral
prostate; prostatic; prostate gland
testis; testicle; testicular; testes
seminal vesicle; vesicula seminalis
vas deferens; ductus deferens; vasa deferentia; spermatic duct; deferent duct
liver; hepatic; hepar
gallbladder; gall bladder; cholecyst; cholecystic
bile duct; biliary; biliary tract; biliary tree; choledochal; common bile duct; cbd
pancreas; pancreatic
spleen; splenic; lien
stomach; gastric
oesophagus; esophagus; oesophageal; esophageal; gullet
small bowel; small intestine; small intestinal; small gut
duodenum; duodenal
jejunum; jejunal
ileum; ileal; terminal ileum
appendix; vermiform appendix; appendiceal; vermiform process
colon; large bowel; colonic; large intestine; colorectal; colorectum; bowel; intestine; gut
caecum; cecum; cecal; caecal; blind gut
sigmoid; sigmoid colon; rectosigmoid
rectum; rectal
anus; anal
omentum; omental; epiploon; epiploic
peritoneum; peritoneal
lung; pulmonary
bronchus; bronchial
pleura; pleural
trachea; tracheal; windpipe
larynx; laryngeal; voice box; glottis; glottic; supraglottic
pharynx; pharyngeal; throat; oropharynx; hypopharynx
tonsil; tonsillar; tonsils; faucial
tongue; lingual; glossal
floor of mouth; fom; sublingual
mouth; oral; oral cavity; buccal
mandible; mandibular; lower jaw; jawbone; jaw
maxilla; maxillary; upper jaw
salivary gland; parotid; submandibular gland; submaxillary
head and neck; upper aerodigestive tract; ent
thyroid; thyroid gland; thyroidal
parathyroid; parathyroid gland
adrenal; adrenal gland; suprarenal; suprarenal gland; epinephric
breast; mammary
ovary; ovarian; female gonad; adnexa; adnexal
fallopian tube; uterine tube; oviduct; salpinx
uterus; uterine; womb
uterine lining; endometrium; endometrial; womb lining
myometrium; myometrial; uterine muscle
cervix; cervical; uterine cervix; cervix uteri; endocervix; ectocervix; neck of the womb; neck of the uterus
vagina; vaginal; birth canal; colpos
vulva; vulvar
placenta; placental
brain; cerebral; cerebrum; intracranial; encephalon; central nervous system; cns
temporal; temporal lobe
frontal; frontal lobe
parietal; parietal lobe
occipital; occipital lobe
cerebellum; cerebellar
meninges; meningeal; dura; dural
skin; cutaneous
bone; osseous; bony
lymph node; lymph nodes; ln; lns; lymph gland; lymph glands; lymphatic gland; lymphatic glands; nodal; node; nodes
soft tissue; mesenchymal tissue; mesenchyme; mesenchymal
skeletal muscle; striated muscle
capsule; capsular; capsulated; encapsulated
# tumours
tumour; tumor; neoplasm; growth; mass; lesion; malignancy; cancer; carcinoma; malignant
adenocarcinoma; glandular carcinoma; glandular cancer; glandular malignancy; gland forming; glandular
squamous cell carcinoma; scc; squamous carcinoma; epidermoid carcinoma; epidermoid; planocellular; squamous
urothelial carcinoma; transitional cell carcinoma; tcc; urothelial; transitional cell; uroepithelial; urothelium
renal cell carcinoma; rcc; kidney cancer; kidney carcinoma; hypernephroma; grawitz; renal carcinoma
clear cell renal cell carcinoma; ccrcc; clear cell; clear celled; hypernephroma; grawitz; conventional type
papillary renal cell carcinoma; prcc; papillary; chromophil; chromophilic
chromophobe renal cell carcinoma; chrcc; chromophobe
hepatocellular carcinoma; hcc; hepatoma; liver cell carcinoma; hepatocellular; liver cell cancer; hepatocarcinoma
cholangiocarcinoma; bile duct carcinoma; bile duct cancer; cca
ductal adenocarcinoma; pdac; duct carcinoma; ductal; duct cancer; duct type
serous carcinoma; hgsc; serous; papillary serous; serous adenocarcinoma; high grade serous
mucinous carcinoma; mucinous; colloid; mucin producing; mucus; mucoid; mucin
endometrioid carcinoma; endometrioid
neuroendocrine tumour; neuroendocrine; net; nen; carcinoid; islet cell; apudoma
glioblastoma; gbm; glioblastoma multiforme; grade iv astrocytoma; grade four astrocytoma
astrocytoma; astrocytic; astrocyte
oligodendroglioma; oligodendroglial
oligoastrocytoma; mixed glioma; oligo astrocytoma; mixed oligoastrocytoma
glioma; glial; glia; gliomas
melanoma; malignant melanoma
sarcoma; sarcomatous
lymphoma; lymphomatous
leukaemia; leukemia
seminoma; germinoma
wilms tumour; nephroblastoma
metastasis; metastatic; metastases; metastasised; metastasized; mets; spread; secondaries
carcinoma in situ; cis; in situ
sarcomatoid; spindle cell; spindle shaped; spindle
signet ring; signet; signet ring cell
giant cell; multinucleated; multinucleate; giant cells
gemistocyte; gemistocytic; gemistocytes
# findings
leiomyoma; fibroid; myoma; fibroids; fibromyoma; leiomyomata; benign smooth muscle
cirrhosis; cirrhotic
steatosis; fatty liver; fatty change; steatotic; fatty
hepatitis; inflamed liver; liver inflammation; hbv; hcv; hepatitis b; hepatitis c
gallstone; cholelithiasis; gallstones; biliary calculi; calculi; stone; stones; calculus
cholecystitis; inflamed gallbladder; gallbladder inflammation
pancreatitis; inflamed pancreas; inflammation of the pancreas
appendicitis; inflamed appendix
diverticulum; diverticula; diverticulosis; diverticular; outpouching; outpouchings
polyp; polyps; adenoma; adenomatous; polypoid; adenomas
endometriosis; ectopic endometrium; endometriotic; ectopic womb lining
adenomyosis; endometriosis interna
psammoma; psammoma bodies; psammomatous; calcospherites
glomerulosclerosis; glomerular sclerosis; sclerosed glomeruli
intraepithelial neoplasia; pin; hgpin; cin; dysplasia; dysplastic; precancerous; premalignant; pre cancerous
benign prostatic hyperplasia; bph; nodular hyperplasia; prostatic hyperplasia; adenomyomatous hyperplasia
necrosis; necrotic; dead tissue; non viable; nonviable
haemorrhage; hemorrhage; hemorrhagic; bleeding; extravasated blood; haematoma; hematoma
calcification; calcified; calcifications; calcium deposits; mineral deposits; mineralised
thrombus; clot; clots; thrombosis; blood clot; clotted; thrombi
vascular proliferation; microvascular proliferation; endothelial proliferation; neovascularisation; capillary
keratinising; keratinizing; keratin; cornifying; cornified; keratinised
human papillomavirus; hpv; p16; papillomavirus; papilloma virus; wart virus
ulcer; ulcerated; ulceration; ulcerating; erosion; eroded
cyst; cystic; cysts
inflammation; inflammatory; inflamed
fibrosis; fibrotic; scarring; scarred; scar
smoking; smoker; tobacco; cigarettes; cigarette; nicotine
proliferation index; ki 67; ki67; mib 1; mib1; labeling index; labelling index; proliferative index; mitotic index
gleason; gleason score; gleason grade
perineural invasion; pni; nerve sheath invasion; perineural; nerve invasion
lymphovascular invasion; lvi; angiolymphatic invasion; lymph vascular invasion; angioinvasion; vascular invasion
extracapsular; extranodal; extracapsular extension; ece; extranodal extension
margin; margins; resection margin; surgical margin; edge
differentiated; differentiation
weight; weighs; weighing; weighed; heavy
diameter; dimension; size; extent; measuring; measures; measured; width; across
positive; involved; affected
negative; uninvolved; free of tumor; tumor free; no tumor; not involved; none
# operations
nephrectomy; kidney removal; removal of the kidney
partial nephrectomy; nephron sparing surgery; nephron sparing
cystectomy; bladder removal; cystoprostatectomy; removal of the bladder
prostatectomy; prostate removal; removal of the prostate
hysterectomy; womb removal; tah; removal of the uterus; uterus removal
salpingo oophorectomy; bso; oophorectomy; removal of ovaries; ovariectomy
pancreaticoduodenectomy; pancreatoduodenectomy; whipple; whipple procedure; pppd; kausch; kausch whipple
hemicolectomy; colectomy; colon resection
lobectomy; removal of a lobe; lobe resection; segmentectomy
hepatectomy; liver resection
craniotomy; brain surgery
splenectomy; removal of the spleen
laryngectomy; larynx removal
glossectomy; removal of the tongue
omentectomy; removal of the omentum
appendectomy; appendicectomy
neck dissection; removal of neck nodes
biopsy; bx; biopsies
excision; resection; removal; removed; excised; resected; taken out; harvested
stent; endoprosthesis
frozen section; fs; intraoperative consultation
immunohistochemistry; ihc; immunostain; immunoperoxidase
# sides and people
right; right sided; dexter
left; left sided; sinister
bilateral; both sides
woman; female; lady
man; male; gentleman
child; paediatric; pediatric; infant
"""


class Lexicon:
    """Finds concepts in a sequence of words, the longest name first; a name may stand for several concepts."""

    def __init__(self, lines: str = LINES) -> None:
        self.names: list[str] = []
        self._concepts: dict[tuple[str, ...], list[int]] = {}
        for line in lines.splitlines():
            if not line.strip() or line.startswith("#"):
                continue
            names = [name.strip() for name in line.split(";") if name.strip()]
            for name in names:
                stems = tuple(word.stem for word in words_in(name))
                held = self._concepts.setdefault(stems, [])
                if len(self.names) not in held:
                    held.append(len(self.names))
            self.names.append(names[0])
        self._longest = max((len(key) for key in self._concepts), default=0)

    def find(self, words: list[Word]) -> list[tuple[int, int, int]]:
        """(first word, number of words, concept) of every name in the words; inside a longer one too."""
        found = []
        stems = [word.stem for word in words]
        for at in range(len(stems)):
            for length in range(min(self._longest, len(stems) - at), 0, -1):
                found += [
                    (at, length, each) for each in self._concepts.get(tuple(stems[at : at + length]), ())
                ]
        return found


@cache
def default_lexicon() -> Lexicon:
    """The lexicon of `LINES`, made once."""
    return Lexicon()
