"""The tables that tumours, organs and grades are read by; a narrower name stands below the broader."""

from __future__ import annotations

import re

from slidelake.services.tuning.data.findings import phrase

__all__ = ["HISTOLOGIES", "ORGANS", "ORGAN_OF", "PLACES", "WHOLE"]

_CLEAR = (
    r"clear cell (?:type )?renal cell carcinoma|conventional[\s(]*clear cell[\s)]*renal cell carcinoma"
    r"|renal (?:cell )?carcinoma[\s,:;()-]*(?:of )?(?:conventional[\s,()-]*)?clear cell"
)
_PAP = r"papillary (?:type )?renal cell carcinoma|renal cell carcinoma[\s,:;()-]*papillary"
_CHR = r"chromophobe (?:type )?(?:renal cell )?carcinoma|renal cell carcinoma[\s,:;()-]*chromophobe"

#: Kind of tumour → (pattern, the broader kind or ""). No pattern matches inside a narrower one's name on purpose:
#: the broader kind of a report is what its narrower one says already.
HISTOLOGIES = {
    "glioblastoma": (phrase(r"glioblastoma(?: multi ?forme)?"), ""),
    "gliosarcoma": (phrase(r"gliosarcoma"), "glioblastoma"),
    "anaplastic oligoastrocytoma": (phrase(r"anaplastic (?:mixed )?oligo ?astrocytoma"), "oligoastrocytoma"),
    "oligoastrocytoma": (phrase(r"oligo ?astrocytoma"), ""),
    "anaplastic oligodendroglioma": (phrase(r"anaplastic oligodendroglioma"), "oligodendroglioma"),
    "oligodendroglioma": (phrase(r"oligodendroglioma"), ""),
    "anaplastic astrocytoma": (phrase(r"anaplastic astrocytoma"), "astrocytoma"),
    "astrocytoma": (phrase(r"astrocytoma"), ""),
    "clear cell renal cell carcinoma": (phrase(_CLEAR), "renal cell carcinoma"),
    "papillary renal cell carcinoma": (phrase(_PAP), "renal cell carcinoma"),
    "chromophobe renal cell carcinoma": (phrase(_CHR), "renal cell carcinoma"),
    "renal cell carcinoma": (phrase(r"renal cell carcinoma"), ""),
    "urothelial carcinoma": (phrase(r"(?:urothelial|transitional)(?: cell)? carcinoma"), ""),
    "adenosquamous carcinoma": (phrase(r"adenosquamous carcinoma"), ""),
    "squamous cell carcinoma": (phrase(r"squamous(?: cell)? carcinoma"), ""),
    "hepatocellular carcinoma": (phrase(r"hepatocellular carcinoma"), ""),
    "cholangiocarcinoma": (phrase(r"cholangiocarcinoma"), "adenocarcinoma"),
    "serous carcinoma": (phrase(r"serous (?:papillary )?(?:cyst)?(?:adeno)?carcinoma"), "adenocarcinoma"),
    "endometrioid adenocarcinoma": (phrase(r"endometrioid (?:adeno)?carcinoma"), "adenocarcinoma"),
    "mucinous adenocarcinoma": (phrase(r"mucinous (?:cyst)?(?:adeno)?carcinoma"), "adenocarcinoma"),
    "ductal adenocarcinoma": (
        phrase(r"duct(?:al)? adenocarcinoma|adenocarcinoma[\s,]*(?:of )?ductal(?: type)?"), "adenocarcinoma"
    ),
    "acinar adenocarcinoma": (
        phrase(r"acinar (?:type )?(?:adeno)?carcinoma|adenocarcinoma[\s,(]*acinar"), "adenocarcinoma"
    ),
    "neuroendocrine carcinoma": (phrase(r"neuro ?endocrine carcinoma"), ""),
    "neuroendocrine tumor": (phrase(r"neuro ?endocrine (?:tumou?r|neoplasm)|islet cell tumou?r"), ""),
    "carcinosarcoma": (phrase(r"carcinosarcoma|malignant mixed (?:mesodermal|mullerian) tumou?r"), ""),
    "adenocarcinoma": (phrase(r"adenocarcinoma"), ""),
}  # fmt: skip

#: Organ → its names.
ORGANS = {
    "brain": phrase(
        r"brain|cerebrum|cerebral|cerebell(?:um|ar)|(?:temporal|frontal|parietal|occipital)(?: lobe)?"
    ),
    "kidney": phrase(r"kidney|renal"),
    "urinary bladder": phrase(r"(?:urinary )?bladder"),
    "prostate": phrase(r"prostate|prostatic"),
    "liver": phrase(r"liver|hepatic"),
    "pancreas": phrase(r"pancreas|pancreatic"),
    "ovary": phrase(r"ovar(?:y|ies|ian)"),
    "uterine cervix": phrase(r"(?:uterine )?cervix|ectocervix|endocervix|cervical canal"),
    "colon": phrase(r"colon|colonic|sigmoid|c(?:a|o)?ecum"),
    "rectum": phrase(r"rectum|rectal"),
    "tongue": phrase(r"tongue"),
    "larynx": phrase(r"larynx|laryngeal|glottis|supraglottis|vocal cords?"),
    "floor of mouth": phrase(r"floor of (?:the )?mouth"),
    "tonsil": phrase(r"tonsil"),
}

#: Organs that are taken out for a tumour of their own.
WHOLE = frozenset({"brain", "kidney", "pancreas", "liver"})

#: A tumour that says where it is from.
ORGAN_OF = {
    "brain": phrase(r"glioblastoma|astrocytoma|oligodendroglioma|oligo ?astrocytoma"),
    "kidney": phrase(r"renal cell carcinoma"),
    "liver": phrase(r"hepatocellular carcinoma"),
    "prostate": phrase(
        r"(?:prostatic|prostate) (?:acinar |ductal )?(?:adeno)?carcinoma|(?:adeno)?carcinoma of (?:the )?prostate"
    ),
    "pancreas": phrase(r"pancreatic (?:ductal )?(?:adeno)?carcinoma|(?:adeno)?carcinoma of (?:the )?pancreas"),
    "urinary bladder": phrase(r"(?:adeno)?carcinoma of (?:the )?(?:urinary )?bladder"),
    "ovary": phrase(r"ovarian (?:\w+ ){0,3}(?:adeno)?carcinoma|(?:adeno)?carcinoma of (?:the )?(?:left |right )?ovary"),
    "uterine cervix": phrase(
        r"cervical (?:squamous (?:cell )?|adeno)?carcinoma|carcinoma of (?:the )?(?:uterine )?cervix"
    ),
    "colon": phrase(r"colonic adenocarcinoma|adenocarcinoma of (?:the )?(?:sigmoid |right |left )?colon"),
    "rectum": phrase(r"rectal adenocarcinoma|adenocarcinoma of (?:the )?rectum"),
}  # fmt: skip

#: The words that a place inside an organ is told with; a place of other words was misread.
PLACES = frozenset(
    re.findall(
        r"\w+",
        """
        head body tail neck uncinate process of the and in at pancreas pancreatic upper lower mid middle
        pole poles left right lateral medial posterior anterior superior inferior wall walls dome trigone
        base apex kidney renal liver lobe segment hepatic bladder urinary ureteral orifice colon sigmoid
        cecum caecum ascending descending transverse rectum splenic flexure ovary ovaries cervix uterus
        ectocervix endocervix tongue oral cavity floor mouth larynx glottis supraglottis vocal cord tonsil
        mandible maxilla gingiva hypopharynx oropharynx pharynx pyriform sinus temporal frontal parietal
        occipital cerebral brain prostate gland dorsal ventral border retromolar buccal mucosa alveolar
        ridge central cortex
        """,
    )
)
