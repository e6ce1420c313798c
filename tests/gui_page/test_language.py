"""The Japanese page is Japanese: everywhere, whoever speaks, and at once after the language is switched."""

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from kohya_gui.app import TABS
from kohya_gui.i18n import words
from kohya_gui.program_words import catalogue
from kohya_gui.runs.queue import Queue
from kohya_gui.runs.store import RunStore
from tests.page import PATIENCE_MS, REPOSITORY, Gui, Tab, served

# What is English in every language: flags, paths, names, commands, and what a script printed.
NOT_SENTENCES = re.compile(
    r"--\w+|`[^`]*`|\"[^\"]*\"|\S*[/\\]\S*|\S+[._=]\S+|<[^>]*>|"
    r"\d[\d.,]*\s?((px|[kMG]?B|s|min|h)(?![a-z]))?|(-m )?pip install \w+"
)
NAMES = (
    "Stable Diffusion", "auto", "fp16", "bf16", "Studio", "TensorBoard", "WANDB_API_KEY", "HF_TOKEN", "nvme",
    "with the word xxx", "long hair", "accelerate launch", "hf auth login", "wandb login",
    "a meadow at dawn, oil painting", "a photo of WORD", "a painting in the style of WORD",
)  # fmt: skip
ENGLISH = re.compile(r"\b[A-Za-z]?[a-z']+[ ,]+(?:[a-z]+[ ,]+)*[a-z]{2,}\b")
# Every text that can be seen, and what is said of an element to who cannot see it; not what was typed, nor logs.
SEEN = """() => {
    const found = [];
    const seen = (one) => one.checkVisibility({ visibilityProperty: true, opacityProperty: true });
    const skipped = "pre, code, kbd, .flag, script, style, noscript, footer, option, [data-part=log] .lines";
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) {
        const { parentElement: holder, textContent } = walk.currentNode;
        if (textContent.trim() && !holder.closest(skipped) && seen(holder)) found.push(textContent.trim());
    }
    for (const one of document.querySelectorAll("[title], [aria-label], [placeholder]"))
        if (seen(one) && !one.closest(skipped) && one.closest("[data-view], dialog, #kg-tabs [role=tablist]"))
            for (const name of ["title", "aria-label", "placeholder"])
                if (one.getAttribute(name) && one.value !== one.getAttribute(name)) found.push(one.getAttribute(name));
    return [...new Set(found)];
}"""


def english_in(text: str) -> str:
    """The first English words in a row within a Japanese text; nothing where there are none."""
    bare = NOT_SENTENCES.sub(" 、", text)
    for name in NAMES:
        bare = bare.replace(name, "、")
    found = ENGLISH.search(bare)
    return found[0] if found else ""


def english_on(page: Page) -> list[str]:
    """English in a row, and single words that the page has in Japanese."""
    english = {text for key, text in words("en").items() if words("ja").get(key) != text} - set(words("ja").values())
    return [text for text in page.evaluate(SEEN) if english_in(text) or text in english]


def japanese_on(page: Page) -> list[str]:
    return [text for text in page.evaluate(SEEN) if re.search("[぀-ヿ]", text)]


def test_english_words_are_found() -> None:
    for text in ("このフォルダは there is no such file です", "No text", "a b of 3 pictures", "It takes none."):
        assert english_in(text), text
    for text in ("--lr_scheduler cosine は", "/a folder/b c.png", "「VAE」は FLUX のように", "Stable Diffusion 1"):
        assert not english_in(text), text


def test_no_text_of_the_japanese_page_is_english() -> None:
    said = [*words("ja").values(), *catalogue().values(), *catalogue(part="others").values()]
    assert len(said) > 1500
    assert [text for text in said if english_in(re.sub(r"\{[^}]*\}", "0", text))] == []


@pytest.fixture(scope="module")
def gui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gui]:
    """A server of its own: the names that other tests give their runs may be words of the page."""
    with served(tmp_path_factory.mktemp("language")) as gui:
        yield gui


@pytest.fixture(scope="module")
def pictures(gui: Gui) -> Path:
    """A folder with something wrong of every kind: a picture that is none, texts in no encoding, empty, and missing."""
    folder = gui.folder / "mixed"
    folder.mkdir()
    for name in "abcd":
        Image.new("RGB", (96, 64), (200, 90, 40)).save(folder / f"{name}.png")
        (folder / f"{name}.caption").write_text("meadow")
    (folder / "b.caption").write_bytes(b"\xff\x81\x00\xfe\xfd")
    (folder / "c.caption").write_text("")
    (folder / "e.png").write_bytes(b"no picture")
    (folder / "e.caption").write_text("meadow")
    return folder


@pytest.fixture(scope="module")
def runs(gui: Gui, pictures: Path) -> list[str]:
    """Real scripts that have ended: with items left out, failed, and stopped by what was typed."""
    model, merged = gui.folder / "tiny.safetensors", gui.work / "merged.json"
    make = "import sys; from pathlib import Path; from sd_scripts.library.example.sd_models import make_sd1; "
    subprocess.run([sys.executable, "-c", f"{make} make_sd1(Path(sys.argv[1]))", model], cwd=REPOSITORY, check=True)
    latents = [pictures, merged, gui.work / "latents.json", model, "--max_resolution=64,64", "--min_bucket_reso=64"]
    wrong = ["--lr_scheduler=cosin", "--pretrained_model_name_or_path", model, "--in_json", merged]
    wrong += ["--output_dir", gui.work / "out", "--train_data_dir", pictures, "--resolution=64,64"]
    steps = [
        ("merge_captions", "finetune/merge_captions_to_metadata.py", [pictures, merged]),
        ("latents", "finetune/prepare_buckets_latents.py", latents),
        ("merge_tags", "finetune/merge_dd_tags_to_metadata.py", [pictures, gui.work / "tags.json"]),
        ("train", "fine_tune.py", wrong),
    ]
    queue = Queue(RunStore(gui.runs_dir))
    records = [
        queue.add(
            stage=stage, name="meadow", title=stage, work_dir=str(gui.work), devices=["cpu"], project="mixed",
            argv=[sys.executable, str(REPOSITORY / "sd_scripts" / script), *map(str, args)],
        )
        for stage, script, args in steps
    ]  # fmt: skip
    return [record.id for record in records]


WRONG = {
    "xformers": True, "sdpa": True, "optimizer_type": "Adm", "lr_scheduler": "cosine", "min_timestep": "500",
    "max_timestep": "100", "scale_v_pred_loss_like_noise_pred": True, "sample_every_n_epochs": "1", "seed": "2.5",
    "resolution": "500", "min_bucket_reso": "1024", "save_last_n_steps": "3", "log_with": "tensorboard",
    "learning_rate": "abc", "optimizer_args": "decay", "noise_offset": "0.1", "metadata_thumbnail": "nowhere.png",
    "huber_c": "0.2", "full_fp16": True, "cache_latents": True, "color_aug": True, "caption_extension": ".png",
}  # fmt: skip


def fill_wrongly(page: Page) -> None:
    """Makes the form of a training such that the page and the program find many things."""
    page.evaluate("all => Object.entries(all).forEach(([flag, one]) => Studio.store.set('train', flag, one))", WRONG)


def left_of(foreign: Callable[[Page], list[str]], page: Page) -> list[str]:
    """What is still foreign after long enough for every answer to have come."""
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while (found := foreign(page)) and time.monotonic() < deadline:
        page.wait_for_timeout(200)
    return found


def look_everywhere(tab: Tab, runs: list[str], foreign: Callable[[Page], list[str]]) -> dict[str, list[str]]:
    """Opens every tab, stage, section and run, and waits until no foreign text is there; what stays, by place."""
    page, stays = tab.page, {}

    def look(place: str) -> None:
        tab.settled()
        if found := left_of(foreign, page):
            stays[place] = found

    for name in TABS:
        tab.select(name)
        for stage in page.evaluate("tab => Studio.data.tabs[tab] ?? [null]", name):
            if stage and name != "metadata":
                page.evaluate("([tab, stage]) => Studio.stage.choose(tab, stage)", [name, stage])
            page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
            if stage:
                expect(page.locator(f"[data-view={name}] pre.cmd").first).to_contain_text("python")
            look(f"{name} {stage or ''}")
    for run in runs:
        page.locator(f'.kg-list .run[data-run="{run}"]').click()
        expect(page.locator('.kg-list .run[aria-current="true"]')).to_have_attribute("data-run", run)
        expect(page.locator(".kg-mon .top .meta")).not_to_be_empty()
        look(f"run {run}")
    return stays


def test_both_languages_are_spoken_everywhere_and_change_at_once(tab: Tab, runs: list[str], pictures: Path) -> None:
    page = tab.page
    tab.make_project("mixed", [pictures])
    fill_wrongly(page)
    done = "ids => ids.every((id) => Studio.runs.lists().history.some((row) => row.id === id))"
    tab.select("runs")
    page.wait_for_function(done, arg=runs)
    assert look_everywhere(tab, runs, japanese_on) == {}
    tab.select("train")
    tab.settled()
    found = page.locator("[data-view=train] .finds li").count()
    assert found > 8, page.locator("[data-view=train] .finds").inner_text()

    # Nothing but the language is changed: what the server had said is said anew.
    page.click("[data-do=lang]")
    assert left_of(english_on, page) == []
    expect(page.locator("[data-view=train] .finds li")).to_have_count(found)
    tab.shot("language_train_ja")
    assert look_everywhere(tab, runs, english_on) == {}

    # What scripts said of their items, and why they failed.
    tab.select("runs")
    page.locator(f'.kg-list .run[data-run="{runs[1]}"]').click()
    skipped = page.locator("[data-part=skipped]")
    expect(skipped).to_contain_text("画像ではないか、読めない種類です")
    tab.shot("language_skipped_ja")
    titles = page.locator(".kg-mon .ph .t")
    expect(titles.first).to_be_visible()
    expect(titles.filter(has_text="中")).to_have_count(0)
    page.locator(f'.kg-list .run[data-run="{runs[2]}"]').click()
    expect(page.locator(".fail h2")).to_contain_text(".caption ファイルはあります")
    page.locator(f'.kg-list .run[data-run="{runs[3]}"]').click()
    expect(page.locator(".fail h2")).to_contain_text("そのようなスケジュールはありません。cosine のことですか。")
    tab.shot("language_failed_ja")
    page.evaluate("Studio.speak('en')")
    expect(page.locator(".fail h2")).to_contain_text("there is no such schedule. Did you mean cosine?")
    page.evaluate("localStorage.clear()")
