# ruff: noqa: E501 (concepts, a line each)
"""Different words for one thing in pathology: abbreviations, plain and Latin names, spellings.

A line is one concept: its names, the one by which a sentence encoder knows it best first. Both reports and questions
are read with it, so that "RCC" finds "renal cell carcinoma". What belongs here is what a dictionary of medicine
would call synonyms; nothing that only goes with something else, and no descriptions. A lab's own names can be added:
`Lexicon(LINES + "…")`. `BROADER` says what is part or kind of what.
"""

from __future__ import annotations

from functools import cache

from slidelake.index.reports.stems import Word, words_in

__all__ = ["BROADER", "LINES", "Lexicon", "default_lexicon"]

LINES = """
# organs and places
kidney; renal; nephric; nephro; kidneys; nephros
bladder; urinary bladder; vesical; vesica; urine bladder; bladder wall; detrusor
ureter; ureteral; ureteric
urethra; urethral
urinary tract; urinary system; uroepithelial tract; urinary passages
prostate; prostatic; prostate gland; prostates; prostata
testis; testicle; testicular; testes; male gonad; orchis
seminal vesicle; vesicula seminalis; seminal gland; vesicular gland; sv
vas deferens; ductus deferens; vasa deferentia; spermatic duct; deferent duct; vas; vasal; sperm duct; deferens; ductus deferentes; seminal duct
liver; hepatic; hepar; hepatic parenchyma; hepatocyte; hepatocellular
gallbladder; gall bladder; cholecyst; cholecystic; vesica fellea; vesica biliaris
bile duct; biliary; biliary tract; biliary tree; choledochal; common bile duct; cbd; hepatic duct; cystic duct; choledochus; ductus choledochus
pancreas; pancreatic
spleen; splenic; lien; spleens
stomach; gastric; antrum; fundus of stomach
oesophagus; esophagus; oesophageal; esophageal; gullet; gastroesophageal; gastro oesophageal; oesophagogastric; esophagogastric; gej; goj; ogj
small bowel; small intestine; small intestinal; small gut; small intestines; enteric
duodenum; duodenal
jejunum; jejunal
ileum; ileal; terminal ileum
appendix; vermiform appendix; appendiceal; vermiform process; appendices; appendicular
colon; large bowel; colonic; large intestine; colorectal; colorectum; bowel; intestine; gut; intestinal; large gut; hindgut; transverse colon; ascending colon; descending colon
caecum; cecum; cecal; caecal; blind gut; ileocecal; ileocaecal; coecum; typhlon
sigmoid; sigmoid colon; rectosigmoid
rectum; rectal
anus; anal
omentum; omental; epiploon; epiploic; greater omentum; omental cake; peritoneal apron; caul
peritoneum; peritoneal; peritoneal lining; abdominal lining; mesothelium; serosal lining
lung; pulmonary; lungs; pneumonic; lobe of lung
bronchus; bronchial; bronchi; bronchiole; bronchiolar
pleura; pleural
trachea; tracheal; windpipe
larynx; laryngeal; voice box; glottis; glottic; supraglottic; vocal cord; vocal cords; vocal fold; vocal folds; transglottic; subglottic; subglottis; epiglottis
pharynx; pharyngeal; throat; oropharynx; hypopharynx; nasopharynx; nasopharyngeal; oropharyngeal; hypopharyngeal; gullet entrance; piriform sinus; pyriform sinus
tonsil; tonsillar; tonsils; faucial
tongue; lingual; glossal; base of tongue; tongue base
floor of mouth; fom; sublingual
mouth; oral; oral cavity; buccal; oral cavities; oral mucosa; buccal mucosa; gingiva; gingival; gum; palate; palatal; lip; cheek; alveolar ridge
mandible; mandibular; lower jaw; jawbone; jaw; lower jawbone; inferior maxilla; submandible
maxilla; maxillary; upper jaw; upper jawbone
salivary gland; parotid; submandibular gland; submaxillary; salivary glands; spit gland; parotid gland; sublingual gland
head and neck; upper aerodigestive tract; ent; head neck; upper airway
thyroid; thyroid gland; thyroidal
parathyroid; parathyroid gland
adrenal; adrenal gland; suprarenal; suprarenal gland; epinephric; adrenals
breast; mammary; breasts; mamma
ovary; ovarian; female gonad; adnexa; adnexal; ovaries; tubo ovarian
fallopian tube; uterine tube; oviduct; salpinx; fallopian tubes; tubal; uterine tubes; oviducts; salpinges
uterus; uterine; womb; uteri; corpus uteri; uterine body; uterine corpus; lower uterine segment
uterine lining; endometrium; endometrial; womb lining; endometria; lining of the womb; lining of the uterus
myometrium; myometrial; uterine muscle; muscle of the uterus; uterine wall; myometrial wall; womb muscle; muscle of the womb
cervix; cervical; uterine cervix; cervix uteri; endocervix; ectocervix; neck of the womb; neck of the uterus; exocervix; endocervical; ectocervical; exocervical; uterine neck; womb neck; cervicovaginal
vagina; vaginal; birth canal; colpos; vaginal cuff; vaginal vault; vaginas
vulva; vulvar
placenta; placental
brain; cerebral; cerebrum; intracranial; encephalon; central nervous system; cns; cerebri; cortical; supratentorial; infratentorial; neural axis; neuroaxis
temporal; temporal lobe
frontal; frontal lobe
parietal; parietal lobe
occipital; occipital lobe
cerebellum; cerebellar
meninges; meningeal; dura; dural
skin; cutaneous; dermis; dermal; epidermal; epidermis
bone; osseous; bony
lymph node; lymph nodes; ln; lns; lymph gland; lymph glands; lymphatic gland; lymphatic glands; nodal; node; nodes; lymphonodus; lymphonodi; sentinel node
soft tissue; mesenchymal tissue; mesenchyme; mesenchymal
skeletal muscle; striated muscle
capsule; capsular; capsulated; encapsulated
# tumours
tumour; tumor; neoplasm; growth; mass; lesion; malignancy; cancer; carcinoma; malignant
adenocarcinoma; glandular carcinoma; glandular cancer; glandular malignancy; gland forming; glandular; adenocarcinomas; adeno carcinoma; adenoca; glandular neoplasm; glandular tumour
squamous cell carcinoma; scc; squamous carcinoma; epidermoid carcinoma; epidermoid; planocellular; squamous; squamous cell cancer; squamous cell; epidermoid cancer; sqcc; malpighian; prickle cell; squamoid; oscc; hnscc
urothelial carcinoma; transitional cell carcinoma; tcc; urothelial; transitional cell; uroepithelial; urothelium; transitional; urothelial cell carcinoma; tccs; urothelial cancer; transitional epithelium; uc
renal cell carcinoma; rcc; kidney cancer; kidney carcinoma; hypernephroma; grawitz; renal carcinoma; renal cell cancer; renal cell; nephrocellular; renal cell adenocarcinoma; renal adenocarcinoma
clear cell renal cell carcinoma; ccrcc; clear cell; clear celled; hypernephroma; grawitz; conventional type; clear cell type; conventional renal cell carcinoma; water clear; clear cytoplasm
papillary renal cell carcinoma; prcc; papillary; chromophil; chromophilic
chromophobe renal cell carcinoma; chrcc; chromophobe; chromophobic; chromophobe cell
hepatocellular carcinoma; hcc; hepatoma; liver cell carcinoma; hepatocellular; liver cell cancer; hepatocarcinoma; malignant hepatoma; primary liver cancer; hepatic cell carcinoma; hepatocyte carcinoma
cholangiocarcinoma; bile duct carcinoma; bile duct cancer; cca; cholangiocellular carcinoma; cholangiocellular; cholangio carcinoma; biliary carcinoma; biliary adenocarcinoma; cholangiolar carcinoma; icc
ductal adenocarcinoma; pdac; duct carcinoma; ductal; duct cancer; duct type; pancreatic adenocarcinoma; duct adenocarcinoma; pancreatic ductal; ductal carcinoma; duct cell
serous carcinoma; hgsc; serous; papillary serous; serous adenocarcinoma; high grade serous; serous cystadenocarcinoma; cystadenocarcinoma; papillary cystadenocarcinoma; serous papillary; serous tumour; lgsc; low grade serous; hgsoc
mucinous carcinoma; mucinous; colloid; mucin producing; mucus; mucoid; mucin; mucin secreting; mucus secreting; mucus producing; mucin forming; gelatinous; mucous; extracellular mucin; colloid carcinoma; mucinous adenocarcinoma
endometrioid carcinoma; endometrioid; endometrioid adenocarcinoma; endometrium like
neuroendocrine tumour; neuroendocrine; net; nen; carcinoid; islet cell; apudoma; pnet; nets; islet; islet cell tumour; endocrine tumour; endocrine carcinoma; endocrine neoplasm; neuroendocrine carcinoma; neuroendocrine neoplasm; pancreatic endocrine; insulinoma; gastrinoma; glucagonoma
glioblastoma; gbm; glioblastoma multiforme; grade iv astrocytoma; grade four astrocytoma; glioblastomas; who grade iv glioma; grade 4 astrocytoma; astrocytoma grade iv; astrocytoma grade 4
astrocytoma; astrocytic; astrocyte; astrocytomas; astroglial; astrocytes
oligodendroglioma; oligodendroglial; oligodendrogliomas; oligodendroglia; oligodendrocyte; oligodendrocytic; oligo
oligoastrocytoma; mixed glioma; oligo astrocytoma; mixed oligoastrocytoma; mixed gliomas; oligoastrocytic; mixed glial
glioma; glial; glia; gliomas
melanoma; malignant melanoma
sarcoma; sarcomatous
lymphoma; lymphomatous
leukaemia; leukemia
seminoma; germinoma
wilms tumour; nephroblastoma
metastasis; metastatic; metastases; metastasised; metastasized; mets; spread; secondaries; metastasise; metastasize; metastasising; metastasizing; secondary deposit; secondary deposits; secondary tumour; distant disease; disseminated; dissemination
carcinoma in situ; cis; in situ; insitu; non invasive carcinoma; preinvasive; intraepithelial carcinoma
sarcomatoid; spindle cell; spindle shaped; spindle; sarcomatous; sarcoma like; sarcomatoid differentiation; fusiform; spindled
signet ring; signet; signet ring cell; signet cell; signet cells
giant cell; multinucleated; multinucleate; giant cells; giant celled; multi nucleated; polykaryon; syncytial
gemistocyte; gemistocytic; gemistocytes; gemistocytoma; swollen astrocytes; plump astrocytes
# findings
leiomyoma; fibroid; myoma; fibroids; fibromyoma; leiomyomata; benign smooth muscle; leiomyomas; fibroid tumour; uterine fibroid; myomas; myomata; myomatous; leiomyomatous; fibromyomata; fibromyomas; smooth muscle tumour; smooth muscle tumor
cirrhosis; cirrhotic; end stage liver; nodular liver; liver scarring; regenerative nodules; advanced fibrosis; bridging fibrosis
steatosis; fatty liver; fatty change; steatotic; fatty; macrovesicular; microvesicular; steatohepatitis; fatty infiltration; fat accumulation; fatty degeneration; fatty metamorphosis; nash; nafld; lipid droplets
hepatitis; inflamed liver; liver inflammation; hbv; hcv; hepatitis b; hepatitis c; viral hepatitis; hep b; hep c; hepatitic; liver infection
gallstone; cholelithiasis; gallstones; biliary calculi; calculi; stone; stones; calculus; choledocholithiasis; cholelith; choleliths; cholelithiases; biliary stone; biliary stones; gall stone; gall stones; biliary calculus; lithiasis; bile stones; bile stone
cholecystitis; inflamed gallbladder; gallbladder inflammation; inflammation of the gallbladder; gallbladder infection; inflamed gall bladder; cholecystitic
pancreatitis; inflamed pancreas; inflammation of the pancreas; pancreatic inflammation; inflammation of pancreas; pancreatitic
appendicitis; inflamed appendix; inflammation of the appendix; appendiceal inflammation; appendix inflammation
diverticulum; diverticula; diverticulosis; diverticular; outpouching; outpouchings; diverticulitis; pouches; pouch; sacculation; sacculations; out pouching; out pouchings; mucosal herniation
polyp; polyps; adenoma; adenomatous; polypoid; adenomas; polyposis; polypous; tubular adenoma; villous adenoma; tubulovillous adenoma; tubulovillous; villous
endometriosis; ectopic endometrium; endometriotic; ectopic womb lining; endometrioma; endometriomas; endometrial implants; ectopic endometrial tissue; chocolate cyst; chocolate cysts
adenomyosis; endometriosis interna; uterine endometriosis; internal endometriosis; adenomyoma; adenomyotic; intramural endometriosis
psammoma; psammoma bodies; psammomatous; calcospherites; psammomas; psammoma body; calcospherite; calcified spherules; laminated calcifications; concentric calcifications; lamellated calcifications; sand bodies
glomerulosclerosis; glomerular sclerosis; sclerosed glomeruli; sclerotic glomeruli; glomerular scarring; scarred glomeruli; hyalinised glomeruli; hyalinized glomeruli; global sclerosis; obsolescent glomeruli; nephrosclerosis; arterionephrosclerosis
intraepithelial neoplasia; pin; hgpin; cin; dysplasia; dysplastic; precancerous; premalignant; pre cancerous; pre malignant; precancer; precursor lesion; precursor lesions; vain; vin; ain; cgin; panin; sil; hsil; lsil; squamous intraepithelial lesion; dysplasias
benign prostatic hyperplasia; bph; nodular hyperplasia; prostatic hyperplasia; adenomyomatous hyperplasia; prostatic enlargement; enlarged prostate; benign enlargement; benign enlargement of the prostate; prostatism; glandular hyperplasia; stromal hyperplasia; glandular and stromal hyperplasia; nodular prostatic hyperplasia; adenomatous hyperplasia; benign hyperplasia; prostate hyperplasia; benign prostatic enlargement; benign prostatic hypertrophy; prostatic hypertrophy
necrosis; necrotic; dead tissue; non viable; nonviable; necroses; necrotizing; necrotising; necrobiotic; tissue death; cell death; dead cells; dead tumour; comedonecrosis; devitalised; devitalized; infarct; infarction; infarcted; gangrene; gangrenous; coagulative
haemorrhage; hemorrhage; hemorrhagic; bleeding; extravasated blood; haematoma; hematoma; haemorrhagic; haemorrhages; bled; bleed; bleeds; blood loss; extravasation; extravasated; blood filled; ecchymosis; hemosiderin; haemosiderin
calcification; calcified; calcifications; calcium deposits; mineral deposits; mineralised; calcify; calcifying; calcific; calcium; microcalcification; microcalcifications; mineralisation; mineralization; mineralized; calcareous; dystrophic calcification; chalky
thrombus; clot; clots; thrombosis; blood clot; clotted; thrombi; thrombotic; thrombosed; tumour thrombus; coagulum; blood clots; clotting
vascular proliferation; microvascular proliferation; endothelial proliferation; neovascularisation; capillary; endothelial hyperplasia; endovascular proliferation; microvascular hyperplasia; glomeruloid; glomeruloid vessels; vascular hyperplasia; angiogenesis; neoangiogenesis; vessel proliferation; new vessels; proliferating vessels; proliferation of vessels; hyperplastic vessels
keratinising; keratinizing; keratin; cornifying; cornified; keratinised; cornification; keratinisation; keratinization; keratinized; keratinous; horn pearls; keratin pearls; keratin pearl; horny; hornification; keratotic; hyperkeratosis
human papillomavirus; hpv; p16; papillomavirus; papilloma virus; wart virus; hr hpv; high risk hpv; papillomaviral; p 16; p16ink4a; papilloma viruses; papillomaviruses; condyloma; koilocytosis; koilocytic
ulcer; ulcerated; ulceration; ulcerating; erosion; eroded; ulcers; ulcerative; ulcerations; ulcerate; ulcerates; erosive; erosions; eroding; denuded; mucosal break; mucosal defect
cyst; cystic; cysts; cystically; multicystic; microcystic; pseudocyst; fluid filled sac; fluid filled; polycystic
inflammation; inflammatory; inflamed; inflammations; inflammatory cells; inflammatory infiltrate; lymphocytic infiltrate; phlogosis
fibrosis; fibrotic; scarring; scarred; scar; fibroses; fibrous; scars; sclerosis; sclerotic; desmoplasia; desmoplastic; cicatrix; cicatricial
smoking; smoker; tobacco; cigarettes; cigarette; nicotine; smokes; smoked; cigar; pack years; pack year; nicotine abuse; tobacco use; smokers
proliferation index; ki 67; ki67; mib 1; mib1; labeling index; labelling index; proliferative index; mitotic index; ki67 index; ki 67 index; labelling indices; labeling indices; proliferative fraction; growth fraction; proliferative activity; proliferation rate; proliferation marker; mitotic activity; mib
gleason; gleason score; gleason grade; gleason sum; gleason pattern; gleason patterns; gleasons; isup
perineural invasion; pni; nerve sheath invasion; perineural; nerve invasion; intraneural; nerve involvement; neural invasion; neurotropism; perineurium
lymphovascular invasion; lvi; angiolymphatic invasion; lymph vascular invasion; angioinvasion; vascular invasion; vessel invasion; venous invasion; lymphatic invasion; lymph vessel invasion; blood vessel invasion; angiolymphatic; lymphovascular; vascular space invasion; lvsi; vessel involvement; intravascular; permeation; lymphangitic; lymphangiosis
extracapsular; extranodal; extracapsular extension; ece; extranodal extension; capsular breach; beyond the capsule; through the capsule; outside the capsule; extranodal spread; extracapsular spread; ecs; extraprostatic; extraprostatic extension; epe; capsular penetration
margin; margins; resection margin; surgical margin; edge; resection margins; surgical margins; edges; resection line; cut edge; cut edges; resection edge; resection edges; inked margin; borders of resection; excision margin; r0; r1
differentiated; differentiation
weight; weighs; weighing; weighed; heavy
diameter; dimension; size; extent; measuring; measures; measured; width; across
positive; involved; affected
negative; uninvolved; free of tumor; tumor free; no tumor; not involved; none
chronic kidney disease; interstitial nephritis; pyelonephritis; renal failure; nephritis; hydronephrosis
atherosclerosis; arteriosclerosis; arteriosclerotic; atherosclerotic; atheroma; arteriolosclerosis
oedema; edema; edematous; oedematous; swelling; swollen
ascites; peritoneal fluid; abdominal fluid
hyperplasia; hyperplastic; overgrowth
atrophy; atrophic; shrinkage; wasted; wasting
metaplasia; metaplastic
pleomorphism; pleomorphic; anaplasia; anaplastic; atypia; atypical
cribriform; cribriforming; sieve like
rhabdoid; rhabdoid features
lymphocytes; lymphocytic; lymphoid infiltrate; tumour infiltrating lymphocytes; til; tils
fistula; perforation; perforated; perforates; ruptured; rupture
obstruction; obstructed; obstructing; stricture; stenosis; stenosing; stenotic; blockage; blocked; narrowing
jaundice; icterus; cholestasis; cholestatic; icteric
diabetes; diabetic; diabetes mellitus
hypertension; hypertensive; high blood pressure
chemotherapy; neoadjuvant; adjuvant; pretreated; chemoradiation; radiochemotherapy; cytostatic
radiotherapy; irradiation; radiation; irradiated; radiated
recurrence; recurrent; relapse; relapsed; recurring
multifocal; multicentric; multiple foci; several foci; multifocality
well differentiated; low grade; grade 1; g1
moderately differentiated; intermediate grade; grade 2; g2
poorly differentiated; high grade; grade 3; g3; undifferentiated
renal vein; vena renalis; vein of the kidney
vena cava; inferior vena cava; ivc; caval; cava
perinephric fat; perirenal fat; gerota; perinephric; perirenal; fat around the kidney
renal sinus; sinus fat; hilar fat; hilum
renal pelvis; pelvicaliceal; pelvicalyceal; calyx; calyces; pyelocaliceal
parametrium; parametria; parametrial
muscularis propria; muscle invasive; proper muscle; detrusor muscle
serosa; serosal; visceral peritoneum
fat; adipose; fatty tissue; adipose tissue
oncocytoma; oncocytic; oncocyte; oncocytes
angiomyolipoma; aml
haemangioma; hemangioma; angioma; hemangiomas
paraganglioma; pheochromocytoma; phaeochromocytoma; zellballen
mesothelioma; mesothelial
thymoma; thymic; thymus
teratoma; dermoid; dermoid cyst
fibroma; fibromas; fibrothecoma; thecoma; adenofibroma; cystadenofibroma; cystadenoma
carcinosarcoma; mixed mullerian tumor; mmmt; malignant mixed mullerian tumor; mixed mesodermal
medullary; medullary type
follicular; follicle
lobular; lobular carcinoma; ilc
adenosquamous; adenosquamous carcinoma
basaloid; basaloid carcinoma
verrucous; warty; verruciform
small cell carcinoma; small cell; oat cell
large cell carcinoma; large cell
idh; idh1; idh 1; isocitrate dehydrogenase
gfap; glial fibrillary acidic protein
egfr; epidermal growth factor receptor
codeletion; 1p 19q; 1p19q; 1p; 19q
microsatellite instability; msi; mismatch repair; mmr; mlh1; msh2
estrogen receptor; oestrogen receptor; er
progesterone receptor; pr; pgr
her2; her 2; erbb2; her 2 neu
goitre; goiter; nodular goiter; thyroiditis; hashimoto; struma
barrett; barretts; barrett oesophagus; barrett esophagus
haematuria; hematuria; blood in the urine
pallisading; palisading; pseudopalisading; palisades
# operations
gastrectomy; removal of the stomach; stomach removal
oesophagectomy; esophagectomy; oesophagogastrectomy; esophagogastrectomy; ivor lewis
thyroidectomy; thyroid removal; removal of the thyroid; hemithyroidectomy
mastectomy; lumpectomy; breast removal; removal of the breast
adrenalectomy; adrenal removal; removal of the adrenal
orchiectomy; orchidectomy; testis removal; removal of the testis
cholecystectomy; gallbladder removal; removal of the gallbladder
lymphadenectomy; lymph node dissection; node dissection; removal of lymph nodes; nodal dissection
transurethral resection; turbt; turb; turp; tur
mandibulectomy; jaw resection; removal of the jaw; mandible resection
debulking; cytoreduction; cytoreductive; tumour reduction
distal pancreatectomy; pancreatectomy; pancreatic tail resection; removal of the pancreas
nephrectomy; kidney removal; removal of the kidney; nephrectomies; radical nephrectomy; nephroureterectomy; kidney resection
partial nephrectomy; nephron sparing surgery; nephron sparing; kidney sparing; wedge resection of kidney; heminephrectomy; partial removal of the kidney
cystectomy; bladder removal; cystoprostatectomy; removal of the bladder; radical cystectomy; cystoprostatectomies; bladder resection; urinary bladder removal; cystourethrectomy
prostatectomy; prostate removal; removal of the prostate; prostatectomies; radical prostatectomy; prostate resection; removal of prostate; prostatovesiculectomy; cystoprostatectomy; ralp; prostate gland removal
hysterectomy; womb removal; tah; removal of the uterus; uterus removal; hysterectomies; uterine removal; womb resection; tah bso; tahbso; tlh; removal of the womb; removal of uterus; womb excision; wertheim
salpingo oophorectomy; bso; oophorectomy; removal of ovaries; ovariectomy; salpingoophorectomy; salpingo oophorectomies; removal of the ovaries; ovary removal; removal of tubes and ovaries; adnexectomy; usobso; uso; lso; rso; tah bso; tahbso; tubo ovarian resection
pancreaticoduodenectomy; pancreatoduodenectomy; whipple; whipple procedure; pppd; kausch; kausch whipple; pancreatoduodenectomies; pancreaticoduodenectomies; whipple resection; whipple operation; whipples; duodenopancreatectomy; head of pancreas resection; pancreatic head resection
hemicolectomy; colectomy; colon resection; colectomies; hemicolectomies; sigmoidectomy; sigmoid resection; colonic resection; bowel resection; removal of the colon; proctocolectomy; half the colon; low anterior resection; anterior resection; lar; apr
lobectomy; removal of a lobe; lobe resection; segmentectomy; lobectomies; bilobectomy; pneumonectomy; lung resection
hepatectomy; liver resection; hepatectomies; hemihepatectomy; removal of part of the liver; partial liver resection; liver lobectomy; segmental liver resection; trisegmentectomy
craniotomy; brain surgery; craniectomy; brain operation; brain resection; opening of the skull; trepanation
splenectomy; removal of the spleen; spleen removal; removal of spleen; spleen resection
laryngectomy; larynx removal; laryngectomies; removal of the larynx; laryngopharyngectomy; voice box removal; removal of the voice box
glossectomy; removal of the tongue; hemiglossectomy; tongue resection; tongue removal; partial removal of the tongue
omentectomy; removal of the omentum; omentectomies; omental biopsy; removal of omentum; omentum removal; omental resection
appendectomy; appendicectomy; appendectomies; removal of the appendix; appendix removal
neck dissection; removal of neck nodes; neck dissections; cervical lymphadenectomy; radical neck; removal of neck lymph nodes; clearance of the neck; nodal clearance
biopsy; bx; biopsies; biopsied; needle core; core biopsy; punch biopsy
excision; resection; removal; removed; excised; resected; taken out; harvested
stent; endoprosthesis; stents; stented; stenting; prosthesis
frozen section; fs; intraoperative consultation; frozen sections; frozen; rapid section; intraoperative
immunohistochemistry; ihc; immunostain; immunoperoxidase; immunohistochemical; immunostains; immunostaining; immunostained; immunohistochemically; antibody stain; antibody stains; immunocytochemistry; immunoreactivity
# sides and people
right; right sided; dexter
left; left sided; sinister
bilateral; both sides
woman; female; lady; women; females; mrs
man; male; gentleman; men; males
child; paediatric; pediatric; infant
"""


#: What is part or kind of what: "the broader: the narrower; …". A report of the narrower is one of the broader too.
BROADER = """
colon: caecum; sigmoid; rectum; hemicolectomy; appendix
bile duct: cholangiocarcinoma
small bowel: duodenum; jejunum; ileum
head and neck: larynx; pharynx; tonsil; tongue; floor of mouth; mouth; mandible; maxilla; salivary gland; neck dissection
larynx: laryngectomy
tongue: glossectomy
mouth: floor of mouth; tongue
mandible: mandibulectomy
pharynx: tonsil
brain: temporal; frontal; parietal; occipital; cerebellum; glioma; craniotomy
glioma: glioblastoma; astrocytoma; oligodendroglioma; oligoastrocytoma
kidney: renal cell carcinoma; nephrectomy; wilms tumour; chromophobe renal cell carcinoma; glomerulosclerosis
nephrectomy: partial nephrectomy
renal cell carcinoma: chromophobe renal cell carcinoma
urinary tract: bladder; ureter; urethra; renal pelvis; urothelial carcinoma; cystectomy
bladder: cystectomy
prostate: prostatectomy; gleason; benign prostatic hyperplasia
uterus: uterine lining; myometrium; cervix; hysterectomy; leiomyoma; adenomyosis
ovary: salpingo oophorectomy
fallopian tube: salpingo oophorectomy
liver: hepatocellular carcinoma; hepatectomy; cirrhosis; hepatitis
pancreas: pancreaticoduodenectomy; distal pancreatectomy; pancreatitis
spleen: splenectomy
omentum: omentectomy
gallbladder: cholecystitis; cholecystectomy
appendix: appendicitis; appendectomy
stomach: gastrectomy
oesophagus: oesophagectomy
thyroid: thyroidectomy; goitre
breast: mastectomy
adrenal: adrenalectomy
testis: orchiectomy; seminoma
lymph node: neck dissection; lymphadenectomy
inflammation: cholecystitis; pancreatitis; appendicitis; hepatitis
"""


class Lexicon:
    """Finds concepts in a sequence of words, the longest name first; a name may stand for several concepts."""

    def __init__(self, lines: str = LINES, broader: str = BROADER) -> None:
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
        self.broader = self._broader(broader)

    def find(self, words: list[Word], *, longest: bool = False) -> list[tuple[int, int, int]]:
        """(first word, number of words, concept) of every name in the words; inside a longer one too, or not."""
        found: list[tuple[int, int, int]] = []
        free = 0
        stems = [word.stem for word in words]
        for at in range(len(stems)):
            for length in range(min(self._longest, len(stems) - at), 0, -1):
                named = self._concepts.get(tuple(stems[at : at + length]), ())
                if longest and at + length <= free:
                    break
                found += [(at, length, each) for each in named]
                if named:
                    free = max(free, at + length)
        return found

    def _broader(self, lines: str) -> list[tuple[int, ...]]:
        """For each concept all that are broader, by however many steps."""
        place = {name: number for number, name in enumerate(self.names)}
        above: dict[int, set[int]] = {number: set() for number in range(len(self.names))}
        for line in lines.splitlines():
            if line.strip():
                whole, _, parts = line.partition(":")
                for part in parts.split(";"):
                    above[place[part.strip()]].add(place[whole.strip()])
        return [tuple(sorted(_reached(number, above) - {number})) for number in range(len(self.names))]


def _reached(start: int, above: dict[int, set[int]]) -> set[int]:
    found: set[int] = set()
    left = [start]
    while left:
        new = above[left.pop()] - found
        found |= new
        left += new
    return found


@cache
def default_lexicon() -> Lexicon:
    """The lexicon of `LINES`, made once."""
    return Lexicon()
