"""The filter in front of gradio's real server: only the page's own requests pass."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

from dynet import DyNet
from dynet.demo.restorer import Restorer
from dynet.demo.uploads import NO_ROOM, TOTAL_BYTES, PageFolder, UploadLimits

pytest.importorskip("gradio")
from starlette.testclient import TestClient

from dynet.demo.page import create_app
from dynet.demo.request_filter import MAX_JSON_BYTES

LIMITS = UploadLimits(0.01)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("page").resolve()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def client(folder: Path, tiny_weights: Path) -> TestClient:
    restorer = Restorer(DyNet.from_pretrained(tiny_weights), torch.device("cpu"))
    app = create_app(restorer, LIMITS, PageFolder(folder), loopback=True)
    return TestClient(app, base_url="http://127.0.0.1:7860", raise_server_exceptions=False)


def _join(path: object) -> dict[str, object]:
    """Return what the page sends after an upload, with this as the path of the image."""
    image = {"path": path, "orig_name": "a.png", "meta": {"_type": "gradio.FileData"}}
    return {"data": [image], "fn_index": 1, "session_hash": "abc", "event_data": None, "trigger_id": 4}


def test_the_page_and_its_resources_pass(client: TestClient) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert "Restore an image with DyNet" in page.text
    assert client.get("/theme.css").status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/gradio_api/info"),
        ("GET", "/gradio_api/openapi.json"),
        ("GET", "/config"),
        ("POST", "/gradio_api/run/predict"),
        ("POST", "/gradio_api/api/receive"),
        ("POST", "/gradio_api/call/receive"),
        ("POST", "/gradio_api/call/v2/receive"),
        ("GET", "/gradio_api/proxy=https://example.hf.space/"),
        ("POST", "/gradio_api/component_server"),
        ("POST", "/gradio_api/process_recording"),
        ("POST", "/gradio_api/vibe-edit"),
        ("GET", "/gradio_api/vibe-code"),
        ("GET", "/gradio_api/runs"),
        ("GET", "/monitoring"),
        ("GET", "/docs"),
        ("GET", "/openapi.json"),
        ("PUT", "/"),
        ("OPTIONS", "/gradio_api/queue/join"),
    ],
)
def test_all_other_paths_of_gradio_are_closed(client: TestClient, method: str, path: str) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, answer.text) == (404, "The page has no such address.")


@pytest.mark.parametrize(
    "path",
    [
        "/etc/hostname",
        "https://example.org/a.png",
        "//etc/hostname",
        "relative.png",
        "{folder}/../secret",
        "{folder}/link",
    ],
)
def test_a_request_that_names_a_file_outside_the_folder_or_a_url_is_refused(
    client: TestClient, folder: Path, path: str
) -> None:
    (folder.parent / "secret").write_text("s")
    if not (folder / "link").is_symlink():
        (folder / "link").symlink_to(folder.parent / "secret")
    name = path.format(folder=folder)
    assert client.post("/gradio_api/queue/join", json=_join(name)).status_code == 403
    assert client.get(f"/gradio_api/file={name}").status_code == 403
    assert not list(folder.rglob("hostname"))


@pytest.mark.parametrize("path", [None, 7, ["/etc/hostname"], {"path": "/etc/hostname"}])
def test_a_path_that_is_not_a_string_is_refused(client: TestClient, path: object) -> None:
    assert client.post("/gradio_api/queue/join", json=_join(path)).status_code == 403


def test_an_uploaded_file_can_be_used_and_shown_but_not_executed(client: TestClient) -> None:
    script = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    (path,) = client.post("/gradio_api/upload", files={"files": ("a.svg", script)}).json()
    assert client.post("/gradio_api/queue/join", json=_join(path)).status_code == 200
    answer = client.get(f"/gradio_api/file={path}")
    assert answer.content == script
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_an_upload_over_the_limit_is_refused_and_leaves_nothing(client: TestClient, folder: Path) -> None:
    before = set(folder.rglob("*"))
    just_over = {"files": ("a.png", b"x" * (LIMITS.file_bytes + 1))}
    assert client.post("/gradio_api/upload", files=just_over).status_code == 413
    many = [("files", (f"{i}.png", b"x" * LIMITS.file_bytes)) for i in range(2)]
    assert client.post("/gradio_api/upload", files=many).status_code == 413
    assert set(folder.rglob("*")) == before


def test_an_upload_into_a_full_folder_is_refused(client: TestClient, folder: Path) -> None:
    upload = {"files": ("a.png", b"x")}
    with (folder / "large.png").open("wb") as large:
        large.truncate(TOTAL_BYTES)
    try:
        answer = client.post("/gradio_api/upload", files=upload)
        assert (answer.status_code, answer.text) == (507, NO_ROOM)
    finally:
        (folder / "large.png").unlink()
    assert client.post("/gradio_api/upload", files=upload).status_code == 200


def test_an_upload_of_unknown_length_is_refused(client: TestClient) -> None:
    assert client.post("/gradio_api/upload", content=iter([b"x"])).status_code == 411


@pytest.mark.parametrize("body", [b"{", b"[" * 100_000, b"\xff\xfe", b'{"a": "' + b"x" * MAX_JSON_BYTES + b'"}'])
def test_a_request_that_is_not_json_or_too_long_is_refused(client: TestClient, body: bytes) -> None:
    assert client.post("/gradio_api/queue/join", content=body).status_code in (400, 413)


def test_pages_of_other_sites_and_other_host_names_are_refused(client: TestClient) -> None:
    png = io.BytesIO()
    Image.new("RGB", (4, 4)).save(png, "PNG")
    files = {"files": ("a.png", png.getvalue())}
    for headers in ({"origin": "https://evil.example"}, {"origin": "null"}, {"host": "evil.example:7860"}):
        assert client.post("/gradio_api/upload", files=files, headers=headers).status_code == 403
    assert client.get("/", headers={"host": "evil.example"}).status_code == 403
    assert (
        client.post("/gradio_api/upload", files=files, headers={"origin": "http://127.0.0.1:7860"}).status_code == 200
    )
    assert client.get("/", headers={"host": "localhost:7860"}).status_code == 200


@pytest.mark.parametrize("headers", [{"host": "["}, {"host": "[::1"}, {"origin": "http://["}])
def test_a_head_with_a_broken_address_is_refused(client: TestClient, headers: dict[str, str]) -> None:
    assert client.get("/", headers=headers).status_code == 400


def test_a_proxy_may_pass_on_the_host_name_that_visitors_use(client: TestClient) -> None:
    headers = {"x-forwarded-host": "try.example.org", "x-forwarded-proto": "https", "origin": "https://try.example.org"}
    assert '"root":"https://try.example.org"' in client.get("/", headers=headers).text


def test_the_policy_forbids_requests_to_other_hosts(client: TestClient) -> None:
    policy = client.get("/").headers["content-security-policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'self'"
    allowed = {"'self'", "'none'", "'unsafe-inline'", "'unsafe-eval'", "data:", "blob:"}
    assert {source for sources in rules.values() for source in sources.split()} <= allowed


def test_a_ninth_waiting_request_is_rejected(client: TestClient, folder: Path) -> None:
    (folder / "a.png").write_bytes(b"x")
    answers = [client.post("/gradio_api/queue/join", json=_join(str(folder / "a.png"))) for _ in range(9)]
    assert answers[-1].status_code == 503
    assert "Queue is full" in answers[-1].text
