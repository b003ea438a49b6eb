"""COCO's 80 classes in the order of their ids as networks use them, 0 to 79, and other names of the same things."""

from __future__ import annotations

from isp_gym.errors import unknown

COCO_CLASSES: tuple[str, ...] = (
    *("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light"),
    *("fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow"),
    *("elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee"),
    *("skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard"),
    *("tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple"),
    *("sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch"),
    *("potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone"),
    *("microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors", "teddy bear"),
    *("hair drier", "toothbrush"),
)

_SYNONYMS = {
    "motorbike": "motorcycle",
    "aeroplane": "airplane",
    "sofa": "couch",
    "pottedplant": "potted plant",
    "diningtable": "dining table",
    "tvmonitor": "tv",
    "bike": "bicycle",
}


def plain_name(name: str) -> str:
    """Return the name that a class has here: in small letters, and COCO's word for what others call otherwise."""
    plain = name.strip().lower().replace("_", " ")
    return _SYNONYMS.get(plain, plain)


def coco_class(name: str) -> int:
    """Find the id of a class by its name, by a name of Pascal VOC, or by the id itself as text.

    Raises:
        UserError: COCO has no such class.
    """
    plain = plain_name(name)
    if plain.isdigit() and int(plain) < len(COCO_CLASSES):
        return int(plain)
    if plain not in COCO_CLASSES:
        raise unknown("COCO class", name, COCO_CLASSES)
    return COCO_CLASSES.index(plain)
