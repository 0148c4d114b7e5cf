"""Tables 5.2 to 5.8 of the thesis as printed, so that ours can stand beside them."""

from collections.abc import Mapping
from dataclasses import dataclass

Cells = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Published:
    """One table.

    Attributes:
        title: what it shows.
        columns: heads, the first that of the rows' names; an arrow says which way is better.
        rows: as printed; "–" where the thesis has no figure.
        data: faces that it rests on.
        by: what measured.
    """

    title: str
    columns: Cells
    rows: tuple[Cells, ...]
    data: str
    by: str


_SWAPS = (
    "faces recognised by CosFace, pose by a pose network, Exp the L2 distance of PAPER II's embedder, "
    "FID the Fréchet distance of Inception features"
)

PUBLISHED: Mapping[str, Published] = {
    "5.2": Published(
        "how well a swap keeps the target's expression",
        ("Method", "L2 error ↓", "Mean t2c L2 ↓", "Ratio ↑"),
        (
            ("thesis: ours, different classes", "0.07", "0.17", "0.73"),
            ("thesis: 68 2D landmarks, different classes", "0.29", "0.32", "0.39"),
            ("thesis: 51 2D landmarks, different classes", "0.28", "0.31", "0.49"),
            ("thesis: ours, same class", "0.07", "0.17", "0.70"),
            ("thesis: 68 2D landmarks, same class", "0.31", "0.38", "0.39"),
            ("thesis: 51 2D landmarks, same class", "0.35", "0.35", "0.47"),
        ),
        "3,000 swaps by a FaceShifter between faces of AffectNet's validation set, classes as labelled there",
        "PAPER II's embedder, trained on AffectNet, and dlib's landmarks",
    ),
    "5.3": Published(
        "swaps between faces of FaceForensics++",
        ("Method", "ID % ↑", "Pose ° ↓", "Exp ↓", "FID ↓"),
        (
            ("thesis: FaceSwap", "54.19", "2.51", "–", "–"),
            ("thesis: FaceShifter", "97.38", "2.96", "–", "–"),
            ("thesis: MegaFS", "90.83", "2.64", "–", "–"),
            ("thesis: FaceController", "98.27", "2.65", "–", "–"),
            ("thesis: HifiFace", "98.48", "2.63", "–", "–"),
            ("thesis: SimSwap", "92.83", "1.53", "8.04", "11.76"),
            ("thesis: FaceDancer (Config B)", "98.54", "2.24", "8.52", "25.11"),
            ("thesis: FaceDancer (Config C)", "98.84", "2.04", "7.97", "16.30"),
            ("thesis: FaceDancer (Config D)", "98.19", "2.15", "5.70", "19.10"),
        ),
        "FaceForensics++, 10 frames of each of 1,000 videos",
        _SWAPS,
    ),
    "5.4": Published(
        "FaceDancer's configurations on FaceForensics++",
        ("Config", "ID % ↑", "Pose ° ↓", "Exp ↓", "FID ↓", "ms ↓"),
        (
            ("thesis: Baseline 1", "97.66", "1.97", "8.20", "16.72", "74.9"),
            ("thesis: Baseline 2", "92.61", "1.87", "7.97", "13.51", "70.2"),
            ("thesis: A", "98.14", "3.61", "9.82", "31.63", "75.8"),
            ("thesis: B", "96.96", "2.48", "8.25", "23.11", "75.8"),
            ("thesis: C", "98.57", "2.27", "7.98", "14.59", "78.3"),
            ("thesis: D", "97.53", "2.04", "7.76", "13.50", "78.2"),
            ("thesis: E", "97.38", "2.07", "5.73", "14.68", "64.6"),
        ),
        "FaceForensics++, 10 frames of each of 1,000 videos",
        _SWAPS,
    ),
    "5.5": Published(
        "FaceDancer's configurations on targets in difficult poses",
        ("Config", "ID % ↑", "Pose ° ↓", "Exp ↓", "FID ↓"),
        (
            ("thesis: Baseline 1", "89.10", "5.63", "5.34", "19.26"),
            ("thesis: Baseline 2", "94.95", "6.23", "5.60", "21.30"),
            ("thesis: A", "98.50", "14.97", "7.07", "40.34"),
            ("thesis: B", "97.95", "5.86", "5.74", "21.50"),
            ("thesis: C", "97.65", "5.82", "4.13", "18.50"),
            ("thesis: D", "97.10", "5.75", "4.15", "20.41"),
            ("thesis: E", "95.45", "6.16", "4.19", "18.13"),
        ),
        "targets of AFLW2000-3D, sources of FaceForensics++",
        _SWAPS,
    ),
    "5.6": Published(
        "whether the person is found again, and whether one person keeps one face",
        ("Method", "ID ↓", "¬ID ↓", "RA ↓", "M_tc μ ↓", "M_tc σ ↓"),
        (
            ("thesis: real data", "–", "–", "–", "0.150", "0.074"),
            ("thesis: CIAGAN", "0.035", "0.000", "–", "0.521", "0.220"),
            ("thesis: CIAGAN + ITM", "0.030", "0.000", "–", "0.300", "0.151"),
            ("thesis: DeepPrivacy", "0.004", "0.000", "–", "0.359", "0.184"),
            ("thesis: CFA-Net", "0.012", "–", "–", "–", "–"),
            ("thesis: SimSwap + Sampling", "0.002", "0.000", "0.994", "0.607", "0.345"),
            ("thesis: SimSwap + ITM", "0.002", "0.000", "0.994", "0.084", "0.051"),
            ("thesis: FaceDancer + Sampling", "0.000", "0.000", "0.999", "0.556", "0.314"),
            ("thesis: FaceDancer + ITM", "0.000", "0.000", "0.999", "0.186", "0.141"),
            ("thesis: FIVA", "0.000", "0.966", "0.998", "0.227", "0.101"),
            ("thesis: FIVA + Sampling", "0.000", "0.000", "0.996", "0.550", "0.310"),
            ("thesis: FIVA + ITM", "0.000", "0.000", "0.996", "0.075", "0.041"),
        ),
        "FaceForensics++, 10 frames of each video",
        "CosFace at a cosine distance of 0.63, a FAR of 1e-3",
    ),
    "5.7": Published(
        "whether the person is found again in photos",
        ("Method", "ID ↓"),
        (
            ("thesis: Gafni et al.", "0.035"),
            ("thesis: CIAGAN", "0.034"),
            ("thesis: CFA-Net", "0.012"),
            ("thesis: DeepPrivacy", "0.002"),
            ("thesis: FaceDancer + ITM", "0.002"),
            ("thesis: SimSwap + ITM", "0.001"),
            ("thesis: FIVA + ITM", "0.000"),
        ),
        "LFW",
        "CosFace at a cosine distance of 0.63, a FAR of 1e-3 (Gafni et al. and CFA-Net: FaceNet)",
    ),
    "5.8": Published(
        "whether a defence stops a reconstruction attack that does not know it",
        ("Method", "ε", "ID ↓", "black box"),
        (
            ("thesis: none (FIVA, table 5.6)", "–", "0.998", "–"),
            ("thesis: Parameter Noise", "0.10", "0.442", "yes"),
            ("thesis: Adversarial Defense", "0.15", "0.002", "no"),
            ("thesis: Noise Defense", "0.15", "0.004", "yes"),
        ),
        "FaceForensics++",
        "CosFace at a cosine distance of 0.63, a FAR of 1e-3",
    ),
}
