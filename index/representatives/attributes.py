"""Attribute prompts: what patches of a tissue may show, in words, by the tissue's origin."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from slidelake.errors import UsageError
from slidelake.index.reports.lexicon import default_lexicon
from slidelake.index.reports.stems import words_in

__all__ = ["ATTRIBUTES", "attribute_prompts", "known_origin", "origin_of_metadata", "origin_of_texts"]

#: What any tissue may show.
GENERAL = (
    "enlarged hyperchromatic nuclei with prominent nucleoli",
    "frequent mitotic figures",
    "dense lymphocytic infiltrate",
    "necrosis with nuclear debris",
    "fibrous stroma with spindle-shaped cells",
    "thin-walled blood vessels filled with red blood cells",
    "mature fat cells",
    "normal tissue without atypia",
)

#: What tissue of one origin may show besides, by the lexicon's names of organs.
ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "adrenal": (
        "nests of cells with clear lipid-rich cytoplasm",
        "cords of cells with eosinophilic cytoplasm",
        "cell balls surrounded by thin vessels",
    ),
    "bladder": (
        "papillary fronds lined by thick urothelium",
        "urothelial cells that invade smooth muscle",
        "flat urothelium with large pleomorphic cells",
        "squamous differentiation with keratin",
    ),
    "bone": (
        "tumour cells that lay down osteoid",
        "lamellar bone with marrow spaces",
        "cartilage with atypical chondrocytes",
    ),
    "brain": (
        "palisading tumour cells around necrosis",
        "proliferation of glomeruloid vessels",
        "round nuclei with clear halos and branching capillaries",
        "astrocytic cells with fibrillary processes",
        "white matter infiltrated by glial tumour cells",
    ),
    "breast": (
        "tubules and nests of invasive ductal carcinoma",
        "single files of small cells in fibrous stroma",
        "ducts filled with cribriform carcinoma in situ",
        "comedo necrosis within a duct",
        "terminal ducts and lobules without atypia",
        "pools of mucin with floating tumour cells",
    ),
    "cervix": (
        "keratin pearls in nests of squamous cells",
        "full-thickness atypia of squamous epithelium",
        "koilocytes with perinuclear halos",
        "atypical endocervical glands",
    ),
    "colon": (
        "irregular malignant glands with dirty necrosis",
        "cribriform glands in desmoplastic stroma",
        "pools of extracellular mucin",
        "normal crypts with goblet cells",
        "adenoma with elongated crowded nuclei",
        "smooth muscle of the bowel wall",
    ),
    "head and neck": (
        "keratin pearls in nests of squamous cells",
        "intercellular bridges between polygonal squamous cells",
        "surface squamous epithelium without atypia",
        "seromucinous glands in the submucosa",
        "cartilage beside tumour",
    ),
    "kidney": (
        "nests of clear cells with a delicate capillary network",
        "papillae with fibrovascular cores and foamy macrophages",
        "cells with pale reticular cytoplasm and distinct borders",
        "spindle-shaped sarcomatoid tumour cells",
        "glomeruli and tubules of renal cortex",
        "sclerosed glomeruli with tubular atrophy",
    ),
    "liver": (
        "thick trabeculae of malignant hepatocytes",
        "pseudoglands with bile",
        "steatosis with large fat vacuoles in hepatocytes",
        "cirrhotic nodules with fibrous septa",
        "malignant bile ducts in desmoplastic stroma",
        "normal hepatocytes in thin plates",
    ),
    "lung": (
        "lepidic growth of tumour cells along alveolar walls",
        "acinar glands of adenocarcinoma",
        "micropapillary tufts within air spaces",
        "keratinising nests of squamous cell carcinoma",
        "small cells with scant cytoplasm and moulded nuclei",
        "normal alveoli with thin walls",
        "macrophages with carbon pigment",
    ),
    "lymph node": (
        "lymphoid follicles with germinal centres",
        "nests of metastatic carcinoma beside lymphocytes",
        "diffuse sheets of large atypical lymphoid cells",
        "histiocytes in sinuses",
    ),
    "ovary": (
        "papillae of serous carcinoma with slit-like spaces",
        "psammoma bodies",
        "hobnail cells with clear cytoplasm",
        "glands that resemble endometrium",
        "mucinous epithelium in multilocular cysts",
        "spindle cells of ovarian stroma",
    ),
    "pancreas": (
        "infiltrating malignant ducts in desmoplastic stroma",
        "tumour around a nerve",
        "acinar cells with zymogen granules",
        "nests of neuroendocrine cells with salt-and-pepper chromatin",
        "chronic pancreatitis with atrophy and fibrosis",
    ),
    "pleura": (
        "tubulopapillary epithelioid mesothelioma",
        "spindle cells of sarcomatoid mesothelioma",
        "reactive mesothelial cells",
    ),
    "prostate": (
        "small crowded malignant glands without basal cells",
        "fused and cribriform malignant glands",
        "single tumour cells without glands",
        "benign glands with two layers of cells",
        "corpora amylacea in gland lumens",
        "fibromuscular stroma",
    ),
    "skin": (
        "nests of melanocytes with melanin pigment",
        "atypical melanocytes that spread through the epidermis",
        "palisading nests of basaloid cells",
        "keratinising squamous cells in the dermis",
        "sebaceous glands and hair follicles",
    ),
    "soft tissue": (
        "fascicles of spindle cells",
        "pleomorphic giant cells",
        "lipoblasts with scalloped nuclei",
        "myxoid stroma with curved vessels",
    ),
    "stomach": (
        "signet ring cells with intracellular mucin",
        "irregular tubular glands in desmoplastic stroma",
        "intestinal metaplasia with goblet cells",
        "gastric pits and oxyntic glands",
        "smooth muscle of the gastric wall",
    ),
    "oesophagus": (
        "keratin pearls in nests of squamous cells",
        "columnar epithelium with goblet cells",
        "irregular glands of adenocarcinoma",
        "stratified squamous epithelium without atypia",
    ),
    "testis": (
        "sheets of clear cells with septa of lymphocytes",
        "embryonal carcinoma with pleomorphic nuclei",
        "seminiferous tubules",
        "yolk sac tumour with reticular pattern",
    ),
    "thymus": (
        "lobules of spindle cells and lymphocytes",
        "epithelioid cells with perivascular spaces",
        "Hassall's corpuscles",
    ),
    "thyroid": (
        "papillae with grooved clear nuclei",
        "intranuclear inclusions",
        "follicles filled with colloid",
        "capsular invasion by follicular tumour",
        "amyloid between nests of tumour cells",
    ),
    "uterus": (
        "crowded back-to-back endometrioid glands",
        "papillary serous tumour cells with marked atypia",
        "fascicles of smooth muscle",
        "tumour glands within myometrium",
        "secretory or proliferative endometrium",
    ),
}

#: Parts and neighbours whose tissue is described with the organ's: the lexicon's names.
_SAME = {
    "ureter": "bladder", "urinary tract": "bladder", "urothelial carcinoma": "bladder",
    "cerebellum": "brain", "glioma": "brain", "glioblastoma": "brain",
    "caecum": "colon", "sigmoid": "colon", "rectum": "colon", "appendix": "colon", "hemicolectomy": "colon",
    "renal cell carcinoma": "kidney", "nephrectomy": "kidney",
    "larynx": "head and neck", "pharynx": "head and neck", "tonsil": "head and neck", "tongue": "head and neck",
    "floor of mouth": "head and neck", "mouth": "head and neck", "mandible": "head and neck",
    "maxilla": "head and neck", "laryngectomy": "head and neck", "salivary gland": "head and neck",
    "bile duct": "liver", "cholangiocarcinoma": "liver", "hepatocellular carcinoma": "liver",
    "bronchus": "lung", "fallopian tube": "ovary", "prostatectomy": "prostate", "melanoma": "skin",
    "sarcoma": "soft tissue", "seminoma": "testis", "thymoma": "thymus", "mesothelioma": "pleura",
    "uterine lining": "uterus", "myometrium": "uterus", "hysterectomy": "uterus", "lymphoma": "lymph node",
    "mastectomy": "breast", "thyroidectomy": "thyroid", "gastrectomy": "stomach",
}  # fmt: skip

#: The studies of The Cancer Genome Atlas by the organ that their tissue is from.
_STUDIES = {
    "ACC": "adrenal", "PCPG": "adrenal", "BLCA": "bladder", "GBM": "brain", "LGG": "brain", "BRCA": "breast",
    "CESC": "cervix", "COAD": "colon", "READ": "colon", "KICH": "kidney", "KIRC": "kidney", "KIRP": "kidney",
    "HNSC": "head and neck", "LIHC": "liver", "CHOL": "liver", "LUAD": "lung", "LUSC": "lung", "DLBC": "lymph node",
    "OV": "ovary", "PAAD": "pancreas", "MESO": "pleura", "PRAD": "prostate", "SKCM": "skin", "UVM": "skin",
    "SARC": "soft tissue", "STAD": "stomach", "ESCA": "oesophagus", "TGCT": "testis", "THYM": "thymus",
    "THCA": "thyroid", "UCEC": "uterus", "UCS": "uterus", "CRC": "colon", "HEADNNECK": "head and neck",
}  # fmt: skip

#: Columns of metadata that may say where a tissue is from, the first one that says it counts.
_COLUMNS = (
    "origin", "tissue_origin", "site", "primary_site", "tissue_site", "organ", "tissue", "anatomic_site",
    "project_id", "project", "cancer_type", "cancer", "study", "tumor_type",
)  # fmt: skip


def attribute_prompts(origin: str = "") -> tuple[str, ...]:
    """The prompts for tissue of an origin, its own first, then those of any tissue; "" or an unknown one: the latter.

    The origin is a name that `known_origin` gives.
    """
    own = ATTRIBUTES.get(origin, ())
    return (
        *(f"H&E stained {origin}: {each}" for each in own),
        *(f"H&E stained tissue: {each}" for each in GENERAL),
    )


def known_origin(text: str) -> str:
    """The origin in `ATTRIBUTES` that words mean ("sigmoid colon", "TCGA-KIRC"); raises UsageError for others."""
    found = _counted([text])
    if not found:
        raise UsageError(
            f"there are no attribute prompts for tissue of {text!r}",
            remedy=f"Name one of {', '.join(sorted(ATTRIBUTES))}, or give prompts of your own.",
        )
    return found.most_common(1)[0][0]


def origin_of_metadata(values: Mapping[str, Any]) -> str:
    """The origin that a slide's metadata says; "" where it says none that is known."""
    lower = {name.lower(): value for name, value in values.items()}
    for column in _COLUMNS:
        value = lower.get(column)
        if isinstance(value, str) and (found := _counted([value])):
            return found.most_common(1)[0][0]
    return ""


def origin_of_texts(texts: Iterable[str]) -> str:
    """The origin that texts name most often; "" where they name none. Lymph nodes count where nothing else is named:
    reports of any organ count them."""
    found = _counted(texts)
    if len(found) > 1:
        del found["lymph node"]
    # Equally often named: the first in the alphabet, whatever the order of the texts.
    return min(found, key=lambda name: (-found[name], name), default="")


def _counted(texts: Iterable[str]) -> Counter[str]:
    lexicon = default_lexicon()
    found: Counter[str] = Counter()
    for text in texts:
        study = text.strip().upper().removeprefix("TCGA-")
        if study in _STUDIES:
            found[_STUDIES[study]] += 1
            continue
        for _, _, concept in lexicon.find(words_in(text), longest=True):
            name = lexicon.names[concept]
            origin = name if name in ATTRIBUTES else _same().get(name, "")
            if origin:
                found[origin] += 1
    return found


@cache
def _same() -> dict[str, str]:
    """`_SAME` by names that the lexicon has: a name that it lost would be no origin without a word."""
    names = set(default_lexicon().names)
    unknown = sorted(set(_SAME) - names)
    if unknown:
        raise RuntimeError(f"the lexicon has no {', '.join(unknown)}")
    return _SAME
