"""What every built-in measure costs and which columns it fills, without the code that measures.

Reading a recipe, a ledger or a card needs these specifications and neither OpenCV nor numba. The code that computes the
numbers is in `million_ird/measures/`, a file for each measure; `million_ird.measures.identity` compares the two.
"""

from collections.abc import Mapping
from types import MappingProxyType

from million_ird.measure_types import Field, MeasureSpec, Tier

_LEVELS = "grey levels"
MEASURE_SPECS: Mapping[str, MeasureSpec] = MappingProxyType(
    {
        "header": MeasureSpec(
            Tier.HEADER,
            (
                Field("short_side", "px", text="Shorter side as displayed"),
                Field("long_side", "px", text="Longer side as displayed"),
                Field("megapixels", "10⁶ px", text="Width times height as displayed"),
                Field("aspect", "long/short, ≥ 1", text="Longer side over shorter side"),
                Field("frames", "count", text="Frames or pages in the file"),
                Field("bits_per_pixel", "bits", "up", "Encoded size over the number of pixels, for lossy formats"),
                Field(
                    "jpeg_quality", "1–100", "up", "IJG quality that does as much harm as the file's quantisation table"
                ),
                Field(
                    "webp_quality", "0–100", "up", "Quality of libwebp with the mean quantizer of a lossy WebP's header"
                ),
                Field(
                    "avif_quality",
                    "0–100",
                    "up",
                    "100 (1 − i / 255) with the base quantizer index i of an AVIF's header",
                ),
                Field("camera", "0 or 1", text="Whether EXIF names the maker or model of a camera"),
            ),
        ),
        "exposure": MeasureSpec(
            Tier.THUMBNAIL,
            (
                Field("crushed_share", "0–1", "down", "Share of pixels whose luma is at most 5"),
                Field("blown_share", "0–1", "down", "Share of pixels whose luma is at least 250"),
                Field("mean_luma", "0–255, neither end is good", text="Mean BT.601 luma"),
            ),
        ),
        "tone": MeasureSpec(
            Tier.THUMBNAIL,
            (
                Field("entropy", "0–8 bits", "up", "Shannon entropy of the histogram of the thumbnail's luma"),
                Field(
                    "contrast", f"0–127.5 {_LEVELS}", "up", "RMS contrast: standard deviation of the thumbnail's luma"
                ),
                Field(
                    "colourfulness",
                    "≥ 0, about 0 for grey, 100 for very colourful; not a quality",
                    text="Colourfulness by Hasler and Süsstrunk 2003: "
                    "√(σ²_rg + σ²_yb) + 0.3 √(μ²_rg + μ²_yb) with rg = R − G, yb = (R + G)/2 − B",
                ),
            ),
        ),
        "layout": MeasureSpec(
            Tier.THUMBNAIL,
            (
                Field(
                    "border_share",
                    "0–1",
                    "down",
                    "Share of pixels that are connected to the border and within 3 levels of its most common colour: "
                    "cut-outs on white, framed art, letterboxes, plots",
                ),
                Field(
                    "rim_share",
                    "0–1",
                    "down",
                    "Share of the outermost pixels that have the border's most common colour, as have the next two "
                    "pixels inwards; mean of the four sides",
                ),
                Field(
                    "seam_share",
                    "0–1",
                    "down",
                    "Largest share of rows that step by more than 8 levels at the same column: images side by side",
                ),
                Field(
                    "corner_share",
                    "0–1",
                    "down",
                    "Smallest of four even areas of one colour with sharp edges, one in each corner: rotated images",
                ),
            ),
        ),
        "graphics": MeasureSpec(
            Tier.THUMBNAIL,
            (
                Field(
                    "even_share",
                    "0–1",
                    "down",
                    "Share of pixels equal to their right and lower neighbours and of one of the three most common "
                    "colours",
                ),
                Field("top_colours", "0–1", "down", "Share of pixels of the eight most common exact colours"),
                Field("detail", _LEVELS, "up", "97th percentile of the magnitude of the luma's 3×3 Laplacian"),
            ),
        ),
        "sharpness": MeasureSpec(
            Tier.PIXELS,
            (
                Field(
                    "laplacian_variance",
                    f"{_LEVELS}², ≥ 0; too low is blur, too high is noise or line art",
                    text="Variance of the 3×3 Laplacian of the 8-bit luma at native scale",
                ),
                Field(
                    "sharpest_blocks",
                    f"{_LEVELS}, ≥ 0",
                    "up",
                    "Standard deviation of the Laplacian in blocks of 64×64, beyond the noise, 95th percentile",
                ),
                Field(
                    "textured_share",
                    "0–1",
                    "up",
                    "Share of blocks of 16×16 in which the Laplacian's standard deviation is 2 and more beyond noise",
                ),
            ),
        ),
        "noise": MeasureSpec(
            Tier.PIXELS,
            (
                Field(
                    "noise",
                    f"{_LEVELS}, ≥ 0",
                    "down",
                    "Standard deviation of the noise of the luma, as the smoothest blocks of 16×16 show it",
                ),
            ),
        ),
        "grain": MeasureSpec(
            Tier.PIXELS,
            (
                Field(
                    "grain",
                    f"{_LEVELS}, ≥ 0",
                    "down",
                    "Standard deviation of the noise of the luma at half the size beyond that at full size",
                ),
            ),
        ),
        "flat": MeasureSpec(
            Tier.PIXELS,
            (
                Field(
                    "flat_share",
                    "0–1",
                    "down",
                    "Share of the blocks in which the variance of the Sobel magnitude is under 800, the 4KLSDB rule",
                ),
            ),
        ),
        "text": MeasureSpec(
            Tier.PIXELS,
            (
                Field(
                    "text_density",
                    "0–1",
                    "down",
                    "Share of cells of 32×32 that hold thin dark strokes on an even, light background",
                ),
            ),
        ),
        "colours": MeasureSpec(
            Tier.PIXELS,
            (Field("colours", "count", "up", "Different colours among 65,536 pixels; null for grey and toned images"),),
        ),
        "palette": MeasureSpec(
            Tier.PIXELS,
            (
                Field(
                    "palette",
                    "0–1",
                    "down",
                    "Share of the colours within 5 levels of a flat block's that are within 1.5: an earlier palette",
                ),
            ),
        ),
        "composites": MeasureSpec(
            Tier.PIXELS,
            (
                Field(
                    "bar_share",
                    "0–1",
                    "down",
                    "Share of the height or width that even bars with straight edges cover at the sides: letterboxes",
                ),
                Field(
                    "gutter_share",
                    "0–1",
                    "down",
                    "Share of the height or width that even bars inside the image cover: gutters of a collage",
                ),
                Field(
                    "joint_share",
                    "0–1",
                    "down",
                    "Largest share of the pixels along one line that step more there than beside it: images joined "
                    "without a gap, filled sides",
                ),
                Field(
                    "mirror_share",
                    "0–1",
                    "down",
                    "By how much both sides of the image mirror what is next to them (correlation)",
                ),
            ),
        ),
        "tiling": MeasureSpec(
            Tier.PIXELS,
            (
                Field(
                    "tiled_mark",
                    "standard deviations, ≥ 0",
                    "down",
                    "How sharply the fine structure repeats on a lattice: marks laid over the image again and again",
                ),
            ),
        ),
        "artefacts": MeasureSpec(
            Tier.PIXELS,
            (
                Field(
                    "jpeg_trace",
                    "1–100",
                    "up",
                    "IJG quality of the coarsest JPEG compression that shows in the pixels, the file's own left out",
                ),
                Field(
                    "blockiness",
                    "%, ≥ 0",
                    "down",
                    "How much larger the mean step between neighbouring pixels is across an 8×8 grid than elsewhere",
                ),
                Field(
                    "fine_trace",
                    "75–98",
                    "up",
                    "IJG quality of a fine JPEG compression whose quantisation still shows in the pixels",
                ),
            ),
        ),
        "resolution": MeasureSpec(
            Tier.PIXELS,
            (
                Field(
                    "octave_drop",
                    "dB",
                    "down",
                    "Mean spectral level from 0.1 to 0.36 of Nyquist minus mean level over 0.56, above the noise",
                ),
                Field(
                    "lower_octave_drop",
                    "dB",
                    "down",
                    "Mean spectral level from 0.08 to 0.22 of Nyquist minus mean level from 0.3 to 0.5, above noise",
                ),
                Field(
                    "cutoff",
                    "dB",
                    "down",
                    "Octave drop plus 1.5 times the steepest fall from a frequency to 1.33 times this frequency",
                ),
                Field(
                    "spectral_copies",
                    "0–1",
                    "down",
                    "Coherence of high with low frequencies at one distance beyond that at others: an enlarged image",
                ),
                Field(
                    "effective_resolution",
                    "0–1",
                    "up",
                    "Highest frequency, as a share of Nyquist, with a level within 34 dB of the low frequencies",
                ),
                Field(
                    "high_frequency_share",
                    "0–1",
                    "up",
                    "Share of the energy of the sharpest tiles above half of Nyquist",
                ),
                Field(
                    "oversharpened",
                    "dB",
                    "down",
                    "How little the spectrum falls, plus the shares of dark and bright overshoots beside edges",
                ),
                Field(
                    "smoothed",
                    "dB",
                    "down",
                    "How steeply the spectrum falls below half of Nyquist and then no more: a median filter",
                ),
            ),
        ),
        "resampling": MeasureSpec(
            Tier.PIXELS,
            (
                Field(
                    "resampled",
                    "≥ 0",
                    "down",
                    "Strength of the period that enlarging leaves",
                ),
            ),
        ),
        "resized_blocks": MeasureSpec(
            Tier.PIXELS,
            (
                Field(
                    "resized_blocks",
                    "share, ≥ 0",
                    "down",
                    "How much more often steps are high at the borders of JPEG's blocks with a period under 8 px: "
                    "reduced after a strong compression",
                ),
            ),
        ),
        "motion": MeasureSpec(
            Tier.PIXELS,
            (
                Field(
                    "motion",
                    "≥ 0",
                    "down",
                    "Depth of the minimum that a straight movement of 8 to 31 pixels leaves in the cepstrum, as a "
                    "multiple of the usual value there, less where high frequencies are strong",
                ),
            ),
        ),
        "nss": MeasureSpec(
            Tier.QUALITY,
            (Field("niqe_ird", "≥ 0", "down", "NIQE with the pristine model of this project"),),
        ),
    }
)
"""Every built-in measure, in the order of the ledger's columns."""
OFFICIAL_SCORES = ("niqe", "brisque")
"""Scores with published parameters, computed in the same pass as `niqe_ird`."""
OVERLAID_CHARACTERS = "overlaid_characters"
"""The score that reads text; see `million_ird.measures.overlaid_text`."""
