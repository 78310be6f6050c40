"""The report as a person meets it: opened from a file in a real browser."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from abn import params
from abn.report import evidence, page
from tests.report.artefacts import DEFAULT, HOSTILE, Recipe, write

PARAMS = Path(__file__).parents[2] / "params.yaml"
WIDE, PHONE = (1280, 800), (390, 844)
SIZES = pytest.mark.parametrize("size", [WIDE, PHONE], ids=["1280", "390"])
HOSTILE_RECIPE = Recipe(classes=HOSTILE, origin="annotation", annotators=HOSTILE[:2])
NO_MASKS = Recipe(masks=False, origin="annotation", annotators=("1", "2"))

CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (c) => c.slice(0, 3).map((v) => v / 255)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const c = rgb(getComputedStyle(at).backgroundColor);
      if (c[3] === 255) return c;
    }
  };
  const texts = [...document.querySelectorAll("main *, header *")].filter((node) =>
    node.checkVisibility() && !node.closest("svg, option")
    && [...node.childNodes].some((one) => one.nodeType === 3 && one.textContent.trim()));
  return texts.map((node) => {
    const [a, b] = [light(rgb(getComputedStyle(node).color)), light(ground(node))];
    return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), node.outerHTML.slice(0, 80)];
  }).filter(([ratio]) => ratio < 4.5);
}"""

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Recipe], Path]:
    """Render a page by a recipe, once."""
    pages: dict[str, Path] = {}

    def rendered(recipe: Recipe) -> Path:
        key = repr(recipe)
        if key not in pages:
            folder = tmp_path_factory.mktemp("report")
            write(folder, recipe)
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(folder)
                text = page.render(evidence.read(params.load(PARAMS)))
            pages[key] = folder / "report.html"
            pages[key].write_text(text, encoding="utf-8")
        return pages[key]

    return rendered


@pytest.fixture
def opened(browser: Browser, report: Callable[[Recipe], Path]) -> Iterator[Open]:
    """Open the page; whatever it does, it logs no error and asks for nothing but itself."""
    contexts, errors, requests = [], [], []

    def show(size: tuple[int, int], recipe: Recipe = DEFAULT, **options: str) -> Page:
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)
        contexts.append(context)
        shown = context.new_page()
        shown.set_default_timeout(120_000)  # of which a busy machine takes a part to read plotly
        shown.on("console", lambda message: errors.append(message.text))
        shown.on("pageerror", lambda error: errors.append(str(error)))
        shown.on("request", lambda request: requests.append(request.url))
        path = report(recipe)
        shown.goto(path.as_uri())
        shown.wait_for_selector("html[data-drawn]")
        return shown

    yield show
    for context in contexts:
        context.close()
    assert errors == []
    assert [one for one in requests if not one.startswith(("file:", "data:", "blob:"))] == []
    assert sum(one.startswith("file:") for one in requests) == len(contexts)


@SIZES
@pytest.mark.parametrize(
    "recipe", [DEFAULT, HOSTILE_RECIPE, NO_MASKS], ids=["plain", "hostile", "no masks"]
)
def test_every_figure_is_drawn_and_fits(
    opened: Open, size: tuple[int, int], recipe: Recipe
) -> None:
    """Each chart has marks on it and none is wider than the screen; nor is the page."""
    shown = opened(size, recipe)
    plots = shown.locator(".plot")
    assert plots.count() >= 13
    for plot in plots.all():
        box = plot.locator("svg.main-svg").first.bounding_box()
        assert box is not None
        assert box["height"] > 100
        assert box["width"] <= size[0]
        assert (
            plot.locator(".point path, path.point, .heatmaplayer image, path.js-line").count() > 0
        )
    assert shown.evaluate("document.documentElement.scrollWidth") <= size[0]


@SIZES
def test_the_recipes_stand_side_by_side(opened: Open, size: tuple[int, int]) -> None:
    """In a table that fits the screen, and in the front as a line and a star each."""
    shown = opened(size)
    table = shown.locator("table.compare")
    headers = [" ".join(text.split()) for text in table.locator("thead th").all_inner_texts()]
    assert headers == [
        "measure",
        "before",
        "paper",
        "kept guarded",
    ]
    box = table.bounding_box()
    assert box is not None
    assert box["x"] + box["width"] <= size[0]
    front = shown.locator("#plot-front")
    assert front.locator(".legendtext").all_text_contents() == [
        *("paper", "guarded", "before", "lowest accuracy allowed")
    ]
    assert front.locator(".scatterlayer .trace path.js-line").count() == 2
    assert shown.locator("table.rivals tbody tr").count() == 2


def test_one_recipe_alone_is_not_compared(opened: Open) -> None:
    """Where the fine-tuning names no recipes, the page speaks of before and after."""
    shown = opened(WIDE, Recipe(recipes=()))
    assert shown.locator("table.compare thead th").all_inner_texts() == [
        "measure",
        "before",
        "after",
    ]
    assert shown.locator("table.rivals").count() == 0
    assert shown.locator("#plot-front .scatterlayer .trace path.js-line").count() == 1


def test_everything_measured_can_be_unfolded(opened: Open) -> None:
    """The full table opens by keyboard; a measure says which way is better, and chance's level."""
    shown = opened(WIDE)
    table = shown.locator("table.measures")
    assert not table.is_visible()
    shown.locator("details.all summary").focus()
    shown.keyboard.press("Enter")
    assert table.is_visible()
    row = table.locator("tr", has_text="deletion").first
    assert row.locator("td").first.inner_text() == "less"
    assert table.locator("tr", has_text="contrast").first.locator("td").all_inner_texts()[:2] == [
        *("more", "0")
    ]
    assert shown.evaluate("document.documentElement.scrollWidth") <= WIDE[0]


def test_the_page_fits_the_narrowest_phone(opened: Open) -> None:
    """At 320 pixels, or 1280 enlarged four times, nothing has to be scrolled sideways."""
    shown = opened((320, 640), HOSTILE_RECIPE)
    assert shown.evaluate("document.documentElement.scrollWidth") <= 320


@SIZES
def test_each_of_the_papers_bars_has_its_mark(opened: Open, size: tuple[int, int]) -> None:
    """✓, ✗ or –, on the bar's row and right of every bar; in words for those who can't see it."""
    shown = opened(size)
    chart = shown.locator("#plot-channels-weight")
    marks = chart.locator(".annotation-text")
    assert set(marks.all_text_contents()) == {"✓", "✗", "–"}
    rows = chart.locator(".ytick text")
    assert (
        marks.count()
        == rows.count()
        == shown.locator("article:has(#plot-channels-weight) li").count()
    )
    ends = [box["x"] + box["width"] for bar in chart.locator(".point path").all()
            if (box := bar.bounding_box())]  # fmt: skip
    for mark, row in zip(marks.all(), rows.all(), strict=True):
        at, name = mark.bounding_box(), row.bounding_box()
        assert at
        assert name
        assert at["x"] > max(ends)
        assert abs(at["y"] + at["height"] / 2 - name["y"] - name["height"] / 2) < 6


def test_names_are_text_in_charts_too(opened: Open) -> None:
    """Plotly shows a name's tags as they are written, and no element of a name comes alive."""
    shown = opened(WIDE, HOSTILE_RECIPE)
    assert shown.title() == "Did the attention move? · fashion_mnist"
    ticks = shown.locator("#plot-classes-correct .ytick text").all_text_contents()
    assert ticks[0] == "<script>document.ti…"
    assert ticks[5] == "<b>bold</b> &amp; $…"
    assert shown.locator("img, .plot b, .plot script").count() == 0


@SIZES
def test_the_slider_goes_from_initial_over_edited_to_fine_tuned(
    opened: Open, size: tuple[int, int]
) -> None:
    """Moved by keyboard or by its three buttons, the slider fades one map into the next."""
    shown = opened(size)
    card = shown.locator(".sample:visible").first
    slider = shown.get_by_role("slider", name="Map shown")
    assert _opacities(card) == (0, 0)
    slider.focus()
    shown.keyboard.press("End")
    assert _opacities(card) == (1, 1)
    assert slider.get_attribute("aria-valuetext") == "fine-tuned"
    shown.get_by_role("button", name="edited", exact=True).click()
    assert _opacities(card) == (1, 0)
    slider.focus()
    shown.keyboard.press("ArrowRight")
    assert 0 < _opacities(card)[1] < 1
    shown.keyboard.press("Home")
    assert _opacities(card) == (0, 0)


def test_a_picture_can_be_swept_with_the_pointer(opened: Open) -> None:
    """Over one picture the pointer's place decides which map shows, and only there."""
    shown = opened(WIDE)
    first, second = shown.locator(".sample:visible").all()[:2]
    first.scroll_into_view_if_needed()
    box = first.locator(".stack").bounding_box()
    assert box is not None
    shown.mouse.move(box["x"] + box["width"] - 2, box["y"] + 50)
    assert _opacities(first)[1] > 0.9
    assert _opacities(second) == (0, 0)
    shown.mouse.move(5, box["y"] + 50)
    assert _opacities(first) == (0, 0)


@SIZES
def test_the_filters_show_what_they_say(opened: Open, size: tuple[int, int]) -> None:
    """Kind and class narrow the gallery; how many are shown is said."""
    shown = opened(size)
    visible = shown.locator(".sample:visible")
    expect(visible).to_have_count(24)
    expect(shown.locator("#shown")).to_have_text("24 of 48 shown.")
    shown.locator(".kinds").get_by_text("failures").click()
    count = visible.count()
    assert count > 0
    assert all("failed" in (one.get_attribute("data-kinds") or "") for one in visible.all())
    shown.get_by_role("combobox", name="Class").select_option("Ring")
    assert 0 < visible.count() < count
    names = {one.text_content() for one in shown.locator(".sample:visible .name").all()}
    assert names == {"Ring"}
    shown.locator(".kinds").get_by_text("worst").click()
    assert visible.count() == 4


def test_side_by_side_shows_the_three_maps_at_once(opened: Open) -> None:
    """Side by side, the three maps of an edited image lie in a row, all fully visible."""
    shown = opened(WIDE)
    shown.get_by_label("side by side", exact=True).check()
    card = shown.locator(".sample:visible").first
    assert _opacities(card) == (1, 1)
    boxes = [one.bounding_box() for one in card.locator(".map").all()]
    lefts = [box["x"] for box in boxes if box]
    assert len(lefts) == 3
    assert lefts == sorted(set(lefts))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_dark(opened: Open, scheme: str) -> None:
    """Every text has a contrast of at least 4.5 to its ground, and the charts' ink follows."""
    shown = opened(WIDE, color_scheme=scheme)
    assert shown.evaluate(CONTRAST) == []
    ink = shown.evaluate("getComputedStyle(document.body).color")
    tick = shown.locator(".plot .xtick text").first
    assert tick.evaluate("node => getComputedStyle(node).fill") == ink


def test_charts_follow_a_change_of_scheme(opened: Open) -> None:
    """A page opened light and then darkened draws its charts' text light."""
    shown = opened(WIDE, color_scheme="light")
    tick = shown.locator(".plot .xtick text").first
    before = tick.evaluate("node => getComputedStyle(node).fill")
    shown.emulate_media(color_scheme="dark")
    shown.wait_for_function(
        "old => getComputedStyle(document.querySelector('.plot .xtick text')).fill !== old",
        arg=before,
    )


def test_keyboard_and_screen_reader_find_their_way(opened: Open) -> None:
    """Pictures and controls have names, headings skip no level, the first key leads to content."""
    shown = opened(WIDE)
    nameless = shown.locator('[role="img"]:not([aria-label]), [role="img"][aria-label=""]')
    assert nameless.count() == 0
    assert shown.locator("html[lang=en], main, nav[aria-label]").count() == 3
    levels = shown.eval_on_selector_all(
        "h1, h2, h3", "all => all.map((one) => Number(one.tagName[1]))"
    )
    assert levels[0] == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))
    shown.keyboard.press("Tab")
    assert shown.evaluate("document.activeElement.textContent") == "Skip to the content"
    controls = shown.locator("#controls input, #controls select").all()
    assert all(one.evaluate("node => node.labels.length || node.ariaLabel") for one in controls)


def test_print_shows_maps_side_by_side_on_white(opened: Open) -> None:
    """On paper there are no controls, no dark ground, and all maps of an image show."""
    shown = opened((760, 1000), color_scheme="dark")
    shown.emulate_media(media="print", color_scheme="dark")
    assert not shown.locator("#controls").is_visible()
    assert _opacities(shown.locator(".sample:visible").first) == (1, 1)
    assert shown.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert shown.evaluate("document.documentElement.scrollWidth") <= 760


def test_no_chart_is_cut_on_paper(opened: Open) -> None:
    """A chart drawn for a wide screen is made smaller for the sheet, and as it was after."""
    shown = opened(WIDE)
    shown.add_style_tag(content="@media print { main { width: 640px } }")
    chart = shown.locator("#plot-classes-alignment")
    wide = chart.bounding_box()
    shown.evaluate("dispatchEvent(new Event('beforeprint'))")
    shown.emulate_media(media="print")
    sheet = chart.bounding_box()
    assert wide is not None
    assert sheet is not None
    assert sheet["width"] < 640 < wide["width"]
    for mark in chart.locator(".point").all():
        box = mark.bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= sheet["x"] + sheet["width"]
    shown.emulate_media(media="screen")
    shown.evaluate("dispatchEvent(new Event('afterprint'))")
    assert chart.locator("svg[viewBox]").count() == 0


def _opacities(card: Locator) -> tuple[float, float]:
    """Of the edited and the fine-tuned map."""
    edited, after = (
        card.locator(f".map.{kind}").evaluate("node => Number(getComputedStyle(node).opacity)")
        for kind in ("edited", "after")
    )
    return edited, after
