"""Pictures → faces: boxes, scores and five landmarks."""

from masquerade.faces.detect.base import Detector, open_any_size
from masquerade.faces.detect.boxes import View, iou, letterbox
from masquerade.faces.detect.centerface import CenterFace
from masquerade.faces.detect.everywhere import Readable, detect_everywhere, detect_in_tiles, detect_in_windows
from masquerade.faces.detect.opening import DETECTORS, open_detector
from masquerade.faces.detect.retinaface import RetinaFace
from masquerade.faces.detect.scrfd import SCRFD
from masquerade.faces.detect.yunet import YuNet

__all__ = [
    "DETECTORS",
    "SCRFD",
    "CenterFace",
    "Detector",
    "Readable",
    "RetinaFace",
    "View",
    "YuNet",
    "detect_everywhere",
    "detect_in_tiles",
    "detect_in_windows",
    "iou",
    "letterbox",
    "open_any_size",
    "open_detector",
]
