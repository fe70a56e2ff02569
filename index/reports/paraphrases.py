"""Other words for what pathology reports say: the tables that questions of an evaluation are worded from.

Clinical synonyms, abbreviations and plain words, in two sets that share few: `develop` is for choosing how a search
works, `test` for measuring it once it is chosen. They are kept apart from the search's own table of synonyms
(`lexicon.py`); a change here makes figures incomparable with older ones.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

__all__ = ["ABSENT", "ASK", "FINDINGS", "FRAMES", "HISTOLOGIES", "LABELS", "ORGANS", "TEMPLATES", "Wording"]

_Half = Literal["develop", "test"]


@dataclass(frozen=True)
class Wording:
    """`pattern` finds the thing in a report; `develop` and `test` say it in other words."""

    pattern: re.Pattern[str]
    develop: tuple[str, ...]
    test: tuple[str, ...]

    def of(self, part: _Half) -> tuple[str, ...]:
        return self.develop if part == "develop" else self.test


def _words(pattern: str, develop: str, test: str) -> Wording:
    return Wording(re.compile(pattern, re.IGNORECASE), tuple(develop.split("|")), tuple(test.split("|")))


#: Organs, by what a record's label or topic says.
ORGANS = {
    "bladder": _words(
        r"bladder(?<!gallbladder)", "the urinary tract|the vesica", "vesical tissue|the urinary system"
    ),
    "brain": _words(
        r"brain|cerebr|lobe", "the cerebrum|the CNS", "the central nervous system|an intracranial site"
    ),
    "cervix": _words(r"cervi[xc]", "the neck of the womb", "the neck of the uterus"),
    "colon or rectum": _words(
        r"colo|crc|rect(?:um|al)|cecum|sigmoid", "the large bowel|the gut", "the large intestine|the bowel"
    ),
    "head and neck": _words(
        r"head.{0,5}neck|tongue|laryn|oral|mouth|tonsil|phary",
        "the upper aerodigestive tract|the mouth or throat",
        "the ENT region|the oral cavity or throat",
    ),
    "kidney": _words(r"kidney|renal", "kidney tissue|renal tissue", "nephric tissue"),
    "liver": _words(r"liver|hepat", "hepatic tissue|the hepar", "liver tissue|the hepar"),
    "ovary": _words(r"ovar", "the adnexa|the female gonad", "the female gonad|ovarian tissue"),
    "pancreas": _words(r"pancrea", "the pancreas", "pancreatic tissue"),
    "prostate": _words(r"prostat", "the prostate", "prostatic tissue"),
}

#: Kinds of tumour. A question names the first of these that its report affirms.
HISTOLOGIES = {
    "oligoastrocytoma": _words(r"oligo-?astrocyt", "mixed glioma", "mixed glial neoplasm"),
    "oligodendroglioma": _words(
        r"(?:anaplastic )?oligodendroglioma", "oligodendroglial cancer", "oligodendroglial malignancy"
    ),
    "glioblastoma": _words(
        r"glioblastoma", "GBM|grade four astrocytoma", "GBM|astrocytoma of the highest grade"
    ),
    "astrocytoma": _words(r"astrocytoma", "astrocytic glioma", "glioma of astrocytes"),
    "cholangiocarcinoma": _words(r"cholangiocarcinoma", "bile duct cancer", "biliary cancer|CCA"),
    "hepatocellular": _words(r"hepatocellular", "hepatoma|HCC", "liver cell cancer|HCC"),
    "papillary renal": _words(
        r"papillary.{0,30}(?:renal|chromophil)|renal cell carcinoma.{0,30}papillary",
        "pRCC|chromophilic kidney cancer",
        "chromophil nephric cancer|PRCC",
    ),
    "chromophobe": _words(r"chromophobe", "chRCC", "chRCC|chromophobic nephric cancer"),
    "clear cell renal": _words(
        r"renal.{0,60}clear|clear.{0,30}renal|conventional.{0,20}clear",
        "ccRCC|hypernephroma",
        "Grawitz cancer|ccRCC",
    ),
    "serous": _words(
        r"serous (?:adeno)?(?:cyst)?(?:adeno)?carcinoma|serous type", "HGSC", "HGSC|papilloserous malignancy"
    ),
    "endometrioid": _words(
        r"endometrioid", "cancer like that of the womb lining", "uterine-lining-like malignancy"
    ),
    "urothelial": _words(
        r"urothelial|transitional cell",
        "TCC|transitional cell cancer|urothelium cancer",
        "uroepithelial malignancy|TCC",
    ),
    "squamous": _words(
        r"squamous(?:.cell)? carcinoma", "epidermoid cancer|SCC", "epidermoid malignancy|planocellular cancer"
    ),
    "neuroendocrine": _words(r"neuroendocrine|islet cell|carcinoid", "NEN", "NET|APUDoma"),
    "mucinous": _words(
        r"mucinous (?:adeno)?(?:cyst)?carcinoma|colloid", "mucus-making cancer", "mucin-producing malignancy"
    ),
    "ductal": _words(
        r"duct(?:al)? (?:adeno)?carcinoma",
        "duct-type cancer|gland-forming cancer",
        "glandular cancer of ducts|glandular malignancy",
    ),
    "adenocarcinoma": _words(
        r"adenocarcinoma", "gland-forming cancer", "glandular malignancy|glandular cancer"
    ),
}

#: Findings, places and operations.
FINDINGS = {
    "leiomyoma": _words(r"leiomyoma|fibroid", "fibroids", "myomas|fibromyomas"),
    "cirrhosis": _words(r"cirrhosis|cirrhotic", "end-stage scarring", "advanced diffuse fibrosis"),
    "steatosis": _words(
        r"steatosis|fatty change", "fatty infiltration|a fatty liver", "fat-laden parenchyma"
    ),
    "hepatitis": _words(r"hepatitis", "HBV or HCV", "virus-related inflammation"),
    "gallstones": _words(r"cholelith|gallstone", "gallstones|calculi", "stones|biliary calculi"),
    "cholecystitis": _words(r"cholecystitis", "an inflamed gallbladder", "gallbladder inflammation"),
    "diverticula": _words(r"diverticul", "outpouchings", "outpouching of the wall"),
    "polyp": _words(r"\bpolyp", "adenomas", "adenomatous outgrowths"),
    "endometriosis": _words(
        r"endometriosis", "ectopic womb lining", "ectopic endometrium|endometriotic implants"
    ),
    "adenomyosis": _words(r"adenomyosis", "endometriosis interna", "uterine lining within the muscle"),
    "psammoma": _words(r"psammoma", "calcospherites", "laminated mineral spherules"),
    "glomerulosclerosis": _words(r"glomerulosclerosis", "sclerosed glomeruli", "glomerular scarring"),
    "pin": _words(r"prostatic intraepithelial neoplasia", "PIN", "HGPIN"),
    "bph": _words(r"(?:nodular|prostatic) hyperplasia", "BPH", "adenomyomatous enlargement|BPH"),
    "sarcomatoid": _words(r"sarcomatoid", "a spindle-shaped component", "spindle-celled areas"),
    "signet": _words(r"signet", "cells with a displaced nucleus", "ring-shaped cells"),
    "pancreatitis": _words(r"pancreatitis", "an inflamed pancreas", "inflammation of the pancreas"),
    "necrosis": _words(r"necrosis|necrotic", "dead tissue", "non-viable areas"),
    "haemorrhage": _words(r"hemorrhag", "bleeding", "extravasated blood"),
    "calcification": _words(r"\bcalcification|\bcalcified", "calcium deposits", "mineral deposits"),
    "thrombus": _words(r"thromb(?:us|osis)", "a clot", "clotted vessels"),
    "vessel growth": _words(
        r"(?:micro|endothelial |neo)vascular prolif|endothelial prolif|vascular prolif",
        "capillary overgrowth",
        "neovascularisation",
    ),
    "keratin": _words(r"keratiniz", "cornification", "cornifying cells"),
    "gemistocytes": _words(r"gemistocyt", "plump glassy glia", "swollen pink glia"),
    "hpv": _words(r"\bHPV\b|\bp16\b", "papillomavirus testing", "wart virus testing"),
    "dysplasia": _words(r"dysplasia", "pre-cancerous change", "premalignant change"),
    "ulcer": _words(r"ulcerat", "an erosion", "an eroded surface"),
    "adrenal": _words(r"adrenal", "a suprarenal gland", "an epinephric gland|suprarenal tissue"),
    "appendix": _words(r"appendi(?:x|ceal)", "the vermiform process", "the vermiform organ"),
    "omentum": _words(r"oment", "the epiploon", "epiploic fat"),
    "spleen": _words(r"spleen|splen", "the lien", "lienal tissue"),
    "tongue": _words(r"\btongue\b", "a lingual site", "a glossal site"),
    "larynx": _words(r"laryn", "the voice box", "the glottic region"),
    "tonsil": _words(r"tonsil", "a faucial gland", "the faucial region"),
    "mandible": _words(r"mandib", "the lower jaw", "the jawbone"),
    "floor of mouth": _words(r"floor of (?:the )?mouth", "FOM", "a sublingual site"),
    "caecum": _words(r"\bcecum|cecal", "the caecum", "the blind gut"),
    "whipple": _words(
        r"whipple|pancreat[io]c?oduodenectomy", "PPPD|a Whipple", "a Kausch operation|a Whipple"
    ),
    "hysterectomy": _words(r"hysterectomy", "womb removal|TAH", "removal of the uterus|uterus removal"),
    "hemicolectomy": _words(r"hemicolectomy", "a colectomy", "partial colon resection"),
    "partial nephrectomy": _words(
        r"partial nephrectomy", "nephron-sparing surgery", "kidney-sparing surgery"
    ),
    "lobectomy": _words(r"lobectomy", "lobe resection", "removal of a lobe"),
    "vas": _words(
        r"vas deferens|vasa deferentia", "the ductus deferens|the spermatic duct", "the deferent duct"
    ),
    "vagina": _words(r"vagina", "the birth canal", "colpos"),
    "stent": _words(r"\bstent\b", "an endoprosthesis", "a tube placed in a duct"),
    "giant cells": _words(r"giant cell", "multinucleated cells", "huge cells with many nuclei"),
    "smoking": _words(r"smok|tobacco", "cigarettes", "nicotine use"),
    "metastasis": _words(r"metasta", "mets", "secondaries"),
}

#: How questions ask for one fact, and how clauses and questions are put together.
ASK = {
    "size": {
        "develop": "how big was it|what was its diameter",
        "test": "how wide did it become|state its extent",
    },
    "nodes": {
        "develop": "how many LN were sampled|how many glands were sampled",
        "test": "what number of lymphatic glands went to the laboratory|how many LN were harvested",
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
        "In the patient with a {tumour} and {clues}, {ask}?",
        "There was a {tumour}, with {clues}: {ask}?",
    ),
    "test": (
        "{ask} where someone had {clues} in a case of {tumour}?",
        "About the one who presented {clues} and a {tumour}: {ask}?",
    ),
}
#: Questions for all patients with a kind of tumour, and about what is not there.
LABELS = {
    "develop": ("Which patients had {kind} in {place}?",),
    "test": ("Who has {kind} of {place}?",),
}
FRAMES = {
    "develop": ("Which patient had {}?", "What was the stage of the {}?", "How large was the {}?"),
    "test": ("Who was found to have {}?", "What margins did the {} have?", "How was the {} treated?"),
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
