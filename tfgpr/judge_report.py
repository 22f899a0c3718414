"""What people read of a judgement of a prior: report.html, report.json, the pictures."""

import pathlib

import numpy as np

from tfgpr import health, pages
from tfgpr.files import atomic_path, write_json
from tfgpr.images import grid, labelled_columns, write_png

_DASH = "-"
# Title, number of the prior, of real images, digits, how to read it.
_ROWS = (
    (
        "Inversion PSNR, dB (median)",
        "inversion_psnr",
        None,
        2,
        "How well it draws unseen images: the ceiling of G(z) in restoration.",
    ),
    (
        "The same, of the mean training image",
        "mean_image_psnr",
        None,
        2,
        "What one has without any prior.",
    ),
    (
        "The same, of the PCA of equal dimension",
        "pca_psnr",
        None,
        2,
        "A linear prior with as many coefficients.",
    ),
    (
        "Sliced Wasserstein distance, thousandths",
        "sliced_wasserstein",
        "sliced_wasserstein_real",
        1,
        "Of patches; the nearer to the floor the better. It depends on the number of images.",
    ),
    (
        "MS-SSIM between images",
        "ms_ssim",
        "ms_ssim_real",
        3,
        "The higher, the less varied; the floor is that of real images.",
    ),
    (
        "Precision (FaceNet)",
        "precision",
        "precision_real",
        3,
        "Share of samples that look like a real face.",
    ),
    ("Recall (FaceNet)", "recall", "recall_real", 3, "Share of real faces that it could draw."),
    ("KID (FaceNet), thousandths", "kid", "kid_real", 2, "0: the same law."),
    (
        "Distance to the nearest training image, RMS",
        "nearest_training_distance",
        "nearest_training_distance_real",
        4,
        "Far below the floor: it copies.",
    ),
    (
        "Samples nearer than 99% of real images are",
        "nearest_below_1_percent_of_real",
        None,
        3,
        "0.01 is expected; smooth samples have more. Look at the picture.",
    ),
    (
        "D: AUC, training against held out",
        "auc_training_held_out",
        None,
        3,
        "0.5: D has not memorised; near 1: it has, and its logit is no prior.",
    ),
    (
        "D: AUC, held out against generated",
        "auc_held_out_generated",
        None,
        3,
        "0.5: D cannot tell them apart.",
    ),
)


def write(folder, judgement, about):
    """Writes report.html, report.json and the pictures as PNG into an existing folder.

    Args:
      folder: where to.
      judgement: a `tfgpr.judge.Judgement`.
      about: JSON values that tell what was judged, by which images.
    """
    folder = pathlib.Path(folder)
    pictures = {name: _draw(value) for name, value in judgement.pictures.items()}
    for name, picture in pictures.items():
        write_png(folder / f"{name}.png", picture)
    numbers = judgement.numbers
    found = health.complaints(judgement.health())
    report = {**about, **numbers, "complaints": found, "notes": judgement.notes}
    write_json(folder / "report.json", report)
    with atomic_path(folder / "report.html") as partial:
        partial.write_text(page(judgement, about, pictures))


def _draw(value):
    if isinstance(value, dict):
        return labelled_columns(value)
    return grid(value, columns=8)


def rows(numbers):
    """The table of all measures: `[[title, prior, real, how to read it], ...]`."""
    table = [["measure", "this prior", "real against real", "how to read it"]]
    for title, name, real, digits, note in _ROWS:
        if name in numbers:
            floor = _DASH if real is None else f"{numbers[real]:.{digits}f}"
            table.append([title, f"{numbers[name]:.{digits}f}", floor, note])
    return table


def page(judgement, about, pictures):
    """The report as one HTML page."""
    numbers, series = judgement.numbers, judgement.series
    found = health.complaints(judgement.health())
    verdict = "**" + "; ".join(found) + "**" if found else "Neither untrained nor collapsed."
    settings = "; ".join(f"{name}: {value}" for name, value in about.items() if value is not None)
    parts = [
        pages.paragraph(f"{verdict} ({settings})"),
        pages.table(rows(numbers), notes=True),
        *(pages.paragraph(note) for note in judgement.notes),
        pages.section(
            "Samples",
            pages.paragraph("The first draws of a fixed seed: typical, not picked."),
            pages.picture(pictures["samples"], "A grid of samples"),
        ),
        pages.section(
            "Inversion of held-out images",
            pages.paragraph(
                f"{numbers['inversion_steps']} steps of Adam on the clean image; "
                f"{numbers['images']} images. From the worst (top) to the best."
            ),
            pages.histogram(series["inversion"], "PSNR in dB"),
            pages.picture(pictures["inversions"], "Held-out images and what is drawn of them"),
        ),
        pages.section(
            "Is it copying?",
            pages.paragraph(
                "The samples that are nearest to a training image (mirrored ones count), and the "
                "three nearest training images of each. RMS distances to the first: "
                + ", ".join(f"{d:.3f}" for d in numbers["nearest_distances_shown"])
                + "."
            ),
            pages.histogram(series["nearest"], "RMS distance to the nearest training image"),
            pages.picture(pictures["nearest"], "Samples and their nearest training images"),
        ),
        pages.section(
            "The discriminator",
            pages.paragraph(
                "Logits on images without augmentation. The standard error of an AUC of 0.5 is "
                f"{numbers['auc_standard_error']:.3f} here."
            ),
            pages.histogram(_finite(series["logits"]), "logit of D"),
        ),
        pages.section(
            "Between two draws",
            pages.paragraph("Each row goes from one draw of z to another in equal steps."),
            pages.picture(pictures["interpolations"], "Rows of interpolations"),
        ),
    ]
    return pages.page("A prior, judged", parts)


def _finite(series):
    return {label: np.nan_to_num(numbers) for label, numbers in series.items()}
