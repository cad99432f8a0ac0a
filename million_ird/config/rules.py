"""The sections of a recipe: what a build accepts, drops, cuts and publishes."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from million_ird.config.gates import Gate
from million_ird.schema import MAX_PIXELS, PATCH_FIELDS

_MOST = 1 << 62
"""The largest number of bytes or pixels; libraries take 63 bits."""
_LONGEST = 1e9
"""The longest time limit in seconds, three decades; timers take no more than some centuries."""


class RecipeSection(BaseModel):
    """A section of a recipe: an unknown key is an error, and a value never changes."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)  # YAML would write infinity as null


class BuildLimits(RecipeSection):
    """Limits beyond which a candidate, or the whole build, fails."""

    max_pixels: int = Field(default=MAX_PIXELS, gt=0, le=_MOST)
    """Images with more pixels fail as `too_large` before anything is allocated."""
    max_bytes: int = Field(default=512_000_000, gt=0, le=_MOST)
    """Files with more bytes fail as `too_large` before they are read."""
    seconds: float = Field(default=120.0, gt=0, le=_LONGEST)
    """An image that takes longer to decode and measure fails as `hung`."""
    failed_share: float = Field(default=0.5, ge=0, le=1)
    """A build in which a larger share of the candidates failed exits with 1."""


class DuplicateRules(RecipeSection):
    """Which duplicates are dropped."""

    exact: bool = True
    """Drop images of the same bytes, or the same pixels."""
    radius: int | None = Field(default=8, ge=0, le=16)
    """Near-duplicates: images whose pHashes differ in at most this many of 64 bits are compared by their signatures;
    null switches it off."""
    turned: bool = True
    """Whether mirrored images, and images rotated by multiples of 90°, are duplicates."""
    crops: bool = True
    """Whether images that share some descriptors are compared, too: finds crops, frames and overlays."""
    near_scenes: Literal["keep", "thin"] = "keep"
    """Images that show nearly the same, such as two views of a scene: keep all, or only the best of them."""

    @model_validator(mode="after")
    def _near_scenes_are_found(self) -> "DuplicateRules":
        if self.near_scenes == "thin" and (self.radius is None or not self.crops):
            raise ValueError("near_scenes: thin needs a radius and crops: true, which search by keypoints")
        return self


class PatchRules(RecipeSection):
    """How kept images are cut into patches."""

    size: int = Field(default=512, ge=16)
    """Side of a square patch in pixels."""
    format: Literal["png", "webp"] = "webp"
    """Both are lossless; WebP is smaller and faster both ways (benchmarks/patch_format.py)."""
    scales: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (1.0,)
    """The image is cut as it is (1) and reduced by each of these factors."""
    gates: tuple[Gate, ...] = ()
    """Gates on the patch's own numbers."""

    @model_validator(mode="after")
    def _fields_exist(self) -> "PatchRules":
        for number, gate in enumerate(self.gates):
            if gate.field not in PATCH_FIELDS:
                raise ValueError(
                    f"gates.{number}.field: unknown field {gate.field!r}; {' and '.join(PATCH_FIELDS)} are"
                )
        names = {f"{scale:g}" for scale in self.scales}  # as in the names of patches
        if len(names) < len(self.scales) or not names:
            raise ValueError("scales: at least one, each once, told apart by six digits")
        return self


class ShardRules(RecipeSection):
    """How the parquet files are cut."""

    bytes: int = Field(default=500_000_000, gt=0)
    """Encoded images in one file, approximately."""


class LicenceRules(RecipeSection):
    """Which licences are accepted; names are compared without regard to case."""

    allow: tuple[str, ...] = ()
    """If any is listed, images under other licences, or without one, are dropped as `licence` before they are read."""
    refuse: tuple[str, ...] = ()
    """Images under these are dropped as `licence`, before they are read."""

    @property
    def is_active(self) -> bool:
        """Whether any licence is refused."""
        return bool(self.allow or self.refuse)

    def refuses(self, licence: str | None) -> bool:
        """Return whether an image under this licence is dropped."""
        name = (licence or "").strip().casefold()
        allowed = not self.allow or name in {other.casefold() for other in self.allow}
        return not allowed or name in {other.casefold() for other in self.refuse}


class PrivacyRules(RecipeSection):
    """What published files keep of the people who took the images."""

    strip_metadata: Literal["web", "always", "never"] = "web"
    """Which images are published without location, time, camera, names and comments: those from web servers, all, or
    none. Coded pixels, colour profile and orientation stay as they are."""

    def covers(self, uri: str) -> bool:
        """Return whether the image at this uri is published without such metadata."""
        if self.strip_metadata == "web":
            return uri.startswith(("http://", "https://"))
        return self.strip_metadata == "always"


class WebSettings(RecipeSection):
    """How images are fetched from web servers."""

    contact: str = ""
    """An e-mail or web address in the user agent, for the operators of the servers."""
    concurrency: int = Field(default=128, ge=1)
    """Requests in flight at once, on all workers together."""
    per_host: int = Field(default=4, ge=1)
    """Requests in flight at once at one host."""
    delay: float = Field(default=0.0, ge=0)
    """Seconds between the starts of two requests to a host; a longer Crawl-delay of its robots.txt wins."""
    connect_seconds: float = Field(default=10.0, gt=0)
    read_seconds: float = Field(default=20.0, gt=0)
    """The longest pause within a response."""
    total_seconds: float = Field(default=60.0, gt=0)
    """From the connection to the last byte, including redirects, without retries and waiting for a turn."""
    retries: int = Field(default=2, ge=0)
    """Further tries after 429, a server error, a timeout or a broken connection."""
    longest_wait: float = Field(default=120.0, ge=0)
    """Seconds; a Retry-After or Crawl-delay beyond it fails the image (`rate_limited`, `crawl_delay`) instead."""
    redirects: int = Field(default=5, ge=0)
    robots: bool = True
    """Whether robots.txt is fetched and obeyed."""
    opt_out: tuple[Literal["noai", "noimageai", "noindex", "noml"], ...] = ("noai", "noimageai", "noindex", "noml")
    """Directives of X-Robots-Tag and meta robots that are obeyed."""
    lanes: int = Field(default=16, ge=1, le=4096)
    """Number of groups that hosts are divided into; one worker at a time fetches a group. More for a larger cluster."""
