"""Other words for what pathology reports say: the tables that questions of an evaluation are worded from.

Two sets of words that share none: `develop` is for choosing how a search works, `test` for measuring it once it is
chosen. They were fixed before the search was written, and are kept apart from its own table of synonyms
(`lexicon.py`); a change here makes figures incomparable with older ones.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

__all__ = ["ABSENT", "ASK", "FINDINGS", "HISTOLOGIES", "ORGANS", "TEMPLATES", "Part", "Wording"]

Part = Literal["develop", "test"]


@dataclass(frozen=True)
class Wording:
    """`pattern` finds the thing in a report; `develop` and `test` say it in other words."""

    pattern: re.Pattern[str]
    develop: tuple[str, ...]
    test: tuple[str, ...]

    def of(self, part: Part) -> tuple[str, ...]:
        return self.develop if part == "develop" else self.test


def _words(pattern: str, develop: str, test: str) -> Wording:
    return Wording(re.compile(pattern, re.IGNORECASE), tuple(develop.split("|")), tuple(test.split("|")))


#: Organs, by what a record's label or topic says.
ORGANS = {
    "bladder": _words(
        r"bladder(?<!gallbladder)", "the organ that holds urine|the vesica", "the urine reservoir"
    ),
    "brain": _words(
        r"brain|cerebr|lobe", "the inside of the skull|the CNS", "the intracranial compartment|the head"
    ),
    "cervix": _words(r"cervi[xc]", "the neck of the womb", "the lower end of the womb"),
    "colon or rectum": _words(
        r"colo|crc|rect(?:um|al)|cecum|sigmoid", "the large bowel|the gut", "the lower intestine|the hindgut"
    ),
    "head and neck": _words(
        r"head.{0,5}neck|tongue|laryn|oral|mouth|tonsil|phary",
        "the upper aerodigestive tract|the mouth or throat",
        "the ENT region|the throat or mouth",
    ),
    "kidney": _words(r"kidney|renal", "an organ that makes urine|a nephric organ", "a blood-filtering organ"),
    "liver": _words(r"liver|hepat", "the hepar|the organ that makes bile", "the bile-producing organ"),
    "ovary": _words(r"ovar", "the female gonad|the adnexa", "the egg-producing gland"),
    "pancreas": _words(r"pancrea", "the abdominal gland with islets", "the insulin-producing organ"),
    "prostate": _words(r"prostat", "the gland around the male urethra", "the gland that makes seminal fluid"),
}

#: Kinds of tumour. A question names the first of these that its report affirms.
HISTOLOGIES = {
    "oligoastrocytoma": _words(r"oligo-?astrocyt", "mixed glioma", "glial malignancy of two lineages"),
    "oligodendroglioma": _words(
        r"(?:anaplastic )?oligodendroglioma",
        "glial cancer with fried-egg cells",
        "1p/19q type glial malignancy",
    ),
    "glioblastoma": _words(
        r"glioblastoma", "GBM|grade four astrocytoma", "the most aggressive glial malignancy"
    ),
    "astrocytoma": _words(r"astrocytoma", "star-cell glioma", "glial malignancy of star-shaped cells"),
    "cholangiocarcinoma": _words(r"cholangiocarcinoma", "bile duct cancer", "biliary tree malignancy"),
    "hepatocellular": _words(r"hepatocellular", "hepatoma|HCC", "primary cancer of liver cells"),
    "papillary renal": _words(
        r"papillary.{0,30}(?:renal|chromophil)|renal cell carcinoma.{0,30}papillary",
        "pRCC|chromophilic kidney cancer",
        "frond-forming nephric malignancy",
    ),
    "chromophobe": _words(r"chromophobe", "chRCC", "pale-celled nephric malignancy"),
    "clear cell renal": _words(
        r"renal.{0,60}clear|clear.{0,30}renal|conventional.{0,20}clear",
        "ccRCC|hypernephroma|clear-celled kidney cancer",
        "Grawitz malignancy|lucent-celled nephric malignancy",
    ),
    "serous": _words(
        r"serous (?:adeno)?(?:cyst)?(?:adeno)?carcinoma|serous type",
        "HGSC",
        "tubal-type epithelial malignancy",
    ),
    "endometrioid": _words(
        r"endometrioid", "cancer like that of the womb lining", "uterine-lining-like malignancy"
    ),
    "urothelial": _words(
        r"urothelial|transitional cell",
        "TCC|transitional cell cancer|urothelium cancer",
        "uroepithelial malignancy",
    ),
    "squamous": _words(r"squamous(?:.cell)? carcinoma", "epidermoid cancer|SCC", "planocellular malignancy"),
    "neuroendocrine": _words(
        r"neuroendocrine|islet cell|carcinoid", "NEN|hormone-making neoplasm", "APUDoma"
    ),
    "mucinous": _words(
        r"mucinous (?:adeno)?(?:cyst)?carcinoma|colloid", "mucus-making cancer", "slime-secreting malignancy"
    ),
    "ductal": _words(
        r"duct(?:al)? (?:adeno)?carcinoma",
        "duct-type cancer|gland-forming cancer",
        "tubule-forming malignancy",
    ),
    "adenocarcinoma": _words(r"adenocarcinoma", "gland-forming cancer", "malignancy of glandular epithelium"),
}

#: Findings, places and operations.
FINDINGS = {
    "leiomyoma": _words(r"leiomyoma|fibroid", "benign smooth-muscle nodules|fibroids", "myomas"),
    "cirrhosis": _words(r"cirrhosis|cirrhotic", "end-stage scarring", "advanced diffuse fibrosis"),
    "steatosis": _words(r"steatosis|fatty change", "fat in hepatocytes", "fat-laden parenchyma"),
    "hepatitis": _words(r"hepatitis", "an inflamed liver|HBV or HCV", "virus-related liver damage"),
    "gallstones": _words(r"cholelith|gallstone", "gallstones|calculi", "stones in the bile sac"),
    "cholecystitis": _words(r"cholecystitis", "an inflamed gall sac", "inflammatory changes in the bile sac"),
    "diverticula": _words(r"diverticul", "outpouchings", "pouches that bulge out"),
    "polyp": _words(r"\bpolyp", "adenomas on a stalk", "mucosal outgrowths"),
    "endometriosis": _words(r"endometriosis", "ectopic womb lining", "womb lining outside its place"),
    "adenomyosis": _words(r"adenomyosis", "womb lining inside muscle", "glands inside uterine muscle"),
    "psammoma": _words(r"psammoma", "calcospherites", "laminated mineral spherules"),
    "glomerulosclerosis": _words(r"glomerulosclerosis", "hardened filtering tufts", "scarring of the tufts"),
    "pin": _words(r"prostatic intraepithelial neoplasia", "PIN|HGPIN", "pre-invasive change in the acini"),
    "bph": _words(
        r"(?:nodular|prostatic) hyperplasia", "BPH|benign enlargement", "adenomyomatous enlargement"
    ),
    "sarcomatoid": _words(r"sarcomatoid", "spindle-shaped component", "mesenchyme-like component"),
    "signet": _words(r"signet", "cells with a displaced nucleus", "ring-shaped mucin-filled cells"),
    "pancreatitis": _words(
        r"pancreatitis", "inflammation of its surroundings", "inflammatory atrophy of the gland"
    ),
    "necrosis": _words(r"necrosis|necrotic", "dead tissue", "non-viable areas"),
    "haemorrhage": _words(r"hemorrhag", "bleeding", "extravasated blood|blood loss into it"),
    "calcification": _words(r"\bcalcification|\bcalcified", "calcium deposits", "mineral deposits"),
    "thrombus": _words(r"thromb(?:us|osis)", "a clot", "clotted vessels"),
    "vessel growth": _words(
        r"(?:micro|endothelial |neo)vascular prolif|endothelial prolif|vascular prolif",
        "overgrowth of capillaries",
        "glomeruloid capillary tufts",
    ),
    "keratin": _words(r"keratiniz", "horn formation", "cornifying cells"),
    "gemistocytes": _words(r"gemistocyt", "plump glassy glia", "swollen pink glia"),
    "hpv": _words(r"\bHPV\b|\bp16\b", "a papillomavirus marker", "wart virus testing"),
    "dysplasia": _words(r"dysplasia", "pre-cancerous change", "premalignant change"),
    "ulcer": _words(r"ulcerat", "an eroded surface", "surface breakdown"),
    "adrenal": _words(r"adrenal", "a suprarenal gland", "an epinephric gland"),
    "appendix": _words(r"appendi(?:x|ceal)", "the vermiform process", "the worm-shaped blind tube"),
    "omentum": _words(r"oment", "the epiploon", "the fatty apron"),
    "spleen": _words(r"spleen|splen", "the lien", "the left-sided blood-filtering organ"),
    "tongue": _words(r"\btongue\b", "a lingual site", "a glossal site"),
    "larynx": _words(r"laryn", "the voice box", "the vocal organ"),
    "tonsil": _words(r"tonsil", "a faucial gland", "an amygdala of the throat"),
    "mandible": _words(r"mandib", "the lower jaw", "the jawbone"),
    "floor of mouth": _words(r"floor of (?:the )?mouth", "sublingual space", "the place below the tongue"),
    "caecum": _words(r"\bcecum|cecal", "the start of the large intestine", "the blind gut"),
    "sigmoid": _words(r"sigmoid", "the S-shaped loop", "the S-loop"),
    "temporal": _words(r"temporal", "the part of the cerebrum behind the ear", "the side lobe above the ear"),
    "frontal": _words(r"frontal", "the part of the cerebrum behind the forehead", "the foremost lobe"),
    "parietal": _words(r"parietal", "the upper back of the cerebrum", "the lobe at the crown"),
    "whipple": _words(
        r"whipple|pancreat[io]c?oduodenectomy", "PPPD|a Kausch operation", "removal with duodenum"
    ),
    "hysterectomy": _words(r"hysterectomy", "womb removal|TAH", "uterus excision"),
    "hemicolectomy": _words(r"hemicolectomy", "half the bowel taken out", "excision of one side of the gut"),
    "partial nephrectomy": _words(
        r"partial nephrectomy", "nephron-sparing surgery", "organ-preserving surgery"
    ),
    "lobectomy": _words(r"lobectomy", "a lobe taken out", "excision of a lobe"),
    "vas": _words(r"vas deferens|vasa deferentia", "the spermatic duct", "the ductus"),
    "vagina": _words(r"vagina", "the birth canal", "colpos"),
    "stent": _words(r"\bstent\b", "a tube placed in a duct", "a splinting tube"),
    "giant cells": _words(r"giant cell", "multinucleated cells", "huge cells with many nuclei"),
    "thyroid": _words(r"thyroid", "the gland below the larynx", "the gland over the windpipe"),
    "ileum": _words(r"\bileum|ileal", "the last part of the small gut", "the terminal small intestine"),
    "cyst": _words(r"\bcystic\b", "fluid-filled spaces", "hollow fluid-holding areas"),
    "smoking": _words(r"smok|tobacco", "cigarettes", "nicotine use"),
    "metastasis": _words(r"metasta", "distant or nodal spread", "secondary deposits"),
}

#: How questions ask for one fact, and how clauses and questions are put together.
ASK = {
    "size": {
        "develop": "how big was it|what was its diameter",
        "test": "how wide did it become|state its extent",
    },
    "nodes": {
        "develop": "how many LN were sampled|how many glands were sampled",
        "test": "what number of lymphatic glands went to the laboratory|how many ganglia were harvested",
    },
    "weight": {"develop": "how heavy was what was taken out", "test": "what did the scale show"},
    "gleason": {"develop": "which ISUP group applies", "test": "how aggressive was its architecture"},
    "labelling": {"develop": "how many nuclei were cycling", "test": "what share of nuclei was dividing"},
    "stage": {
        "develop": "how advanced was it locally|how far had it grown",
        "test": "which T category applies",
    },
    "case": {"develop": "which person was it", "test": "whose is it"},
}
TEMPLATES = {
    "develop": (
        "In the patient with a {histology} of {organ} and {clues}, {ask}?",
        "There was a {histology} in {organ}, with {clues}: {ask}?",
    ),
    "test": (
        "{ask} where someone had {clues} in a case of {histology} affecting {organ}?",
        "About the one who presented {clues}, {histology} of {organ}: {ask}?",
    ),
}
#: Topics for questions with no answer, each with the words whose absence from every report proves it.
ABSENT = {
    "develop": {
        "retinoblastoma of a child's eye": r"retinoblastoma|retina",
        "osteosarcoma of the femur": r"osteosarcoma|femur",
        "thymoma of the anterior mediastinum": r"thymoma|thymus|thymic",
        "seminoma of the testis": r"seminoma|testis|testic",
        "Wilms tumour of infancy": r"wilms|nephroblastoma",
        "mycosis fungoides of the skin": r"mycosis|fungoides",
        "Hodgkin lymphoma with Reed-Sternberg cells": r"hodgkin|reed.?sternberg",
        "plasma cell myeloma of the bone marrow": r"myeloma|plasmacytoma",
        "acute myeloid leukaemia with blasts": r"leuk[a]?emia",
        "hydatidiform mole of pregnancy": r"hydatid|molar preg|trophoblast",
        "pterygium of the conjunctiva": r"pterygium|conjunctiva",
        "aortic dissection": r"dissecti?ng aneurysm|aorta|aortic dissection",
        "gout tophus of the toe": r"tophus|gout\b",
        "cardiac amyloidosis": r"amyloid|myocard",
        "Ewing sarcoma of the pelvis": r"ewing",
    },
    "test": {
        "malignant mesothelioma of the pleura": r"mesothelioma|pleura",
        "Merkel cell carcinoma": r"merkel",
        "neuroblastoma with rosettes": r"neuroblastoma",
        "uveal melanoma of the choroid": r"uveal|choroid(?!al)|ocular",
        "choriocarcinoma after childbirth": r"choriocarcinoma|placenta",
        "penile cancer of the glans": r"penile|penis|glans",
        "vulvar lichen sclerosus": r"vulva|lichen",
        "parathyroid adenoma with high calcium": r"parathyroid",
        "sarcoidosis of the lung with non-caseating granulomas": r"sarcoid(?!al)|caseating",
        "chronic lymphocytic leukaemia": r"leuk[a]?emia|\bCLL\b",
        "chondrosarcoma of the rib": r"chondrosarcoma|chondroid",
        "synovial sarcoma of the knee": r"synovial|knee",
        "transplant rejection of the heart": r"cardiac|heart",
        "coeliac disease of the duodenum with villous atrophy": r"c[o]?eliac disease|villous atrophy|celiac sprue",
        "dermatofibrosarcoma of the trunk": r"dermatofibro",
    },
}
