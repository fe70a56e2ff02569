"""What texts about tissue under the microscope are like, and what the other texts of such collections are like."""

from __future__ import annotations

__all__ = ["OTHER", "PATHOLOGY"]

#: Sentences about what a microscope shows of tissue or cells: diagnoses, findings, stains, structures.
PATHOLOGY: tuple[str, ...] = (
    "A microscopic image of tissue stained with hematoxylin and eosin.",
    "Tumour cells with enlarged, hyperchromatic nuclei and prominent nucleoli.",
    "Invasive carcinoma grows in nests and cords within a desmoplastic stroma.",
    "Glands lined by columnar epithelium with mucin.",
    "The stroma holds lymphocytes, plasma cells and other inflammatory cells.",
    "Areas of coagulative necrosis with nuclear debris.",
    "Spindle cells are arranged in fascicles with collagen between them.",
    "Normal tissue architecture without atypia or mitotic figures.",
    "Immunohistochemistry shows strong membranous staining of the tumour cells.",
    "Special stain of a section: PAS, silver, trichrome or Congo red.",
    "A smear or fine needle aspirate with atypical cells.",
    "Kidney biopsy: glomeruli with thickened basement membranes and tubules.",
    "Liver biopsy with steatosis, portal inflammation and fibrosis of hepatocytes.",
    "Granulomas with multinucleated giant cells.",
    "Skin biopsy: epidermis, dermis and hyperkeratosis.",
    "Bone marrow with immature blood cells; a peripheral blood smear with leukocytes.",
    "Glioma: atypical glial cells and microvascular proliferation in brain tissue.",
    "What is the histological type and nuclear grade of the tumour?",
    "Is the tumour positive for oestrogen receptor, progesterone receptor or HER2?",
    "Is there lymphovascular invasion, and are the resection margins free?",
    "Fibrosis, oedema, haemorrhage and congestion of the tissue.",
    "Myocardial fibres with infarction; a vessel with thrombus and atheroma.",
    "Electron micrograph of a cell with its nucleus, mitochondria and deposits.",
    "Organisms in tissue: fungal hyphae, bacteria or parasites in a section.",
    "Colonic mucosa with crypts, goblet cells and an inflamed lamina propria.",
    "Adipocytes with large vacuoles, fibrous connective tissue and bundles of smooth muscle.",
    "Histology of a normal organ: lung, stomach, thyroid, appendix or brain.",
    "Adenoma, carcinoma in situ or dysplasia of an epithelium.",
)

#: Sentences about other pictures and other things: radiology, organs and people in photographs, drawings, charts, the
#: talk around a lecture, everyday topics.
OTHER: tuple[str, ...] = (
    "A chest X-ray or CT scan of the patient.",
    "Magnetic resonance imaging, ultrasound or angiography shows a mass.",
    "A picture from the camera of an endoscope during an examination.",
    "A photograph of a whole organ on a table, with a ruler.",
    "Gross appearance: the cut surface of a sliced organ, a close-up of fixed tissue.",
    "The opened chest, abdomen or heart at autopsy, an excellent example of a large mass.",
    "Skull and bones with a fracture, the base of the skull, a deformed vertebral body.",
    "A photograph of the patient's face, hand, foot or whole body.",
    "A child with a deformed skull, seen in an autopsy photograph.",
    "A diagram or schematic drawing of a pathway with arrows.",
    "A chart, graph or table of results.",
    "A medical device: a prosthetic valve, a catheter, a knife.",
    "A wound on the body caused by a gun, a knife or a fall.",
    "Thank you very much for watching, please subscribe and leave a comment.",
    "Sharing my screen, can everybody hear me? Let us go to the next slide of the presentation.",
    "So, you know, yes, I think that is a good question.",
    "How many patients were treated, and how long did they live?",
    "The weather is fine and the train leaves at noon.",
    "A dog, a car, a house and people in the street.",
    "Music, food, sports and travel.",
    "Computer software, a neural network and its training.",
)
