"""Help pages and translations say the same as the blocks: English is written once, in the schemas.

With SORA_RENEW_HELP=1 the English names and the upper part of every page (title, description, tables) are written anew;
what follows from the example on, and everything Chinese in locales/zh, is written by people.
"""

import json
import os
import re

import pytest
from PIL import Image

from sora_core.headless.example_pictures import EXAMPLES

RENEW = bool(os.environ.get("SORA_RENEW_HELP"))
VARIES = {
    ("SoraLoadModel", "checkpoint"), ("SoraTrain", "checkpoint"), ("SoraLoadClips", "folder"),
    ("SoraSampler", "sampler"), ("SoraLongVideoSampler", "sampler"), ("SoraPlayWorld", "sampler"),
}  # fmt: skip
"""Combos whose choices depend on the installation."""
WORDS = {
    "en": {
        "inputs": "Inputs", "outputs": "Outputs", "input_head": ("Name", "Meaning", "Values"),
        "output_head": ("Name", "Meaning", "Type"), "default": "default", "optional": "optional",
        "by_hand": ("Example", "Limits", "In the report"), "to": "to", "one of": "one of",
    },
    "zh": {
        "inputs": "输入", "outputs": "输出", "input_head": ("名称", "含义", "取值"),
        "output_head": ("名称", "含义", "类型"), "default": "默认", "optional": "可选",
        "by_hand": ("示例", "限制", "对应的报告内容"), "to": "到", "one of": "选项：",
    },
}  # fmt: skip
CHINESE = re.compile(r"[\u4e00-\u9fff]")
SPELT_ALIKE = {"VAE", "CLIP", "Latent", "Sigmas"}
"""Names that Chinese users of ComfyUI write in Latin letters."""


@pytest.fixture(scope="module")
def schemas(comfy, pack):
    return {
        name: block.define_schema()
        for name, block in sorted(comfy.NODE_CLASS_MAPPINGS.items())
        if name.startswith("Sora")
    }


@pytest.fixture(scope="module")
def locales(root, schemas):
    path = root / "locales" / "en" / "nodeDefs.json"
    if RENEW:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dump({name: words_of(schema) for name, schema in schemas.items()}), encoding="utf-8")
    return {code: json.loads((root / "locales" / code / "nodeDefs.json").read_text("utf-8")) for code in ("en", "zh")}


def dump(content):
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def words_of(schema):
    """The words of a block in the form in which the page looks them up."""
    return {
        "display_name": schema.display_name,
        "description": schema.description,
        "inputs": {i.id: {"name": i.id.replace("_", " "), "tooltip": i.tooltip} for i in schema.inputs},
        "outputs": {
            str(n): {"name": o.display_name.replace("_", " "), "tooltip": o.tooltip}
            for n, o in enumerate(schema.outputs)
        },
    }


def leaves(tree, path=()):
    if isinstance(tree, str):
        yield path, tree
    else:
        for key, value in tree.items():
            yield from leaves(value, (*path, key))


def values_of(node_id, part, text):
    """What an input takes, for people: wires in capitals, numbers with their range, choices; and its default."""
    kind = str(part.get_io_type()).replace(",", ", ")
    choices, default = getattr(part, "options", None), getattr(part, "default", None)
    low, high = getattr(part, "min", None), getattr(part, "max", None)
    if (node_id, part.id) in VARIES:
        return kind
    if choices:
        kind = f"{text['one of']} {', '.join(choices)}".replace("： ", "：")
    elif low is not None:
        kind += f", {low:g} {text['to']} {high:g}" if high < 1e6 else f", ≥ {low:g}"
    if part.optional:
        kind += f", {text['optional']}"
    if default is None or getattr(part, "multiline", False):
        return kind
    return f"{kind}; {text['default']} {default}".replace("; 默认", "；默认")


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)


def upper_part(schema, words, code):
    """Title, description and tables of a page: everything above its example."""
    text, inputs, outputs = WORDS[code], [], []
    for part in schema.inputs:
        word = words["inputs"][part.id]
        name = f"`{part.id}`" + ("" if code == "en" else f" {word['name']}")
        inputs.append([name, word["tooltip"], values_of(schema.node_id, part, text)])
    for n, part in enumerate(schema.outputs):
        word = words["outputs"][str(n)]
        name = f"`{part.display_name}`" + ("" if code == "en" else f" {word['name']}")
        outputs.append([name, word["tooltip"], str(part.io_type)])
    return (
        f"# {words['display_name']}\n\n{words['description']}\n\n"
        f"## {text['inputs']}\n\n{table(text['input_head'], inputs)}\n\n"
        f"## {text['outputs']}\n\n{table(text['output_head'], outputs)}\n\n"
    )


def page(root, name, code):
    docs = root / "web" / "docs"
    return docs / f"{name}.md" if code == "en" else docs / name / f"{code}.md"


def test_english_names_are_those_of_the_schemas(schemas, locales):
    expected = {name: words_of(schema) for name, schema in schemas.items()}
    assert locales["en"] == expected, "run tests/nodes/test_help.py once with SORA_RENEW_HELP=1, then translate"


def test_everything_is_translated(locales):
    english, chinese = dict(leaves(locales["en"])), dict(leaves(locales["zh"]))
    assert list(english) == list(chinese), sorted(set(english) ^ set(chinese))
    for path, text in chinese.items():
        assert CHINESE.search(text) or text in SPELT_ALIKE, f"{'.'.join(path)} is not Chinese: {text}"


def test_translations_keep_the_numbers(locales):
    """A tooltip whose rule changed has to be translated again: the figures in it give that away."""
    chinese = dict(leaves(locales["zh"]))
    for path, text in leaves(locales["en"]):
        figures = (sorted(re.findall(r"\d+(?:\.\d+)?", part)) for part in (text, chinese[path]))
        assert len({tuple(f) for f in figures}) == 1, f"{'.'.join(path)}: {text} / {chinese[path]}"


def test_no_word_is_read_as_a_message_format(locales):
    """The page's translator takes these signs for placeholders, links and plurals."""
    for code, tree in locales.items():
        for path, text in leaves(tree):
            assert not set("{}@|") & set(text), f"{code} {'.'.join(path)}"


@pytest.mark.parametrize("code", ["en", "zh"])
def test_categories_are_named(root, schemas, code):
    names = json.loads((root / "locales" / code / "main.json").read_text("utf-8"))["nodeCategories"]
    assert set(names) == {part for schema in schemas.values() for part in schema.category.split("/")}


@pytest.mark.parametrize("code", ["en", "zh"])
def test_every_block_has_a_page_that_agrees_with_its_schema(root, schemas, locales, code):
    for name, schema in schemas.items():
        path, upper = page(root, name, code), upper_part(schema, locales[code][name], code)
        example = f"## {WORDS[code]['by_hand'][0]}\n"
        assert path.is_file(), f"{path.relative_to(root)} is missing: begin it with '{example.strip()}'"
        text = path.read_text("utf-8")
        if RENEW:
            text = upper + text[text.index(example) :]
            path.write_text(text, "utf-8")
        assert text.startswith(upper + example), f"{path.relative_to(root)}: run once with SORA_RENEW_HELP=1"


@pytest.mark.parametrize("code", ["en", "zh"])
def test_pages_end_with_example_limits_and_report(root, schemas, code):
    headings = WORDS[code]["by_hand"]
    for name in schemas:
        text = page(root, name, code).read_text("utf-8")
        parts = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)
        assert tuple(parts[5::2]) == headings, name
        assert all(len(body.strip()) > 20 for body in parts[6::2]), name
        assert "<" not in text, f"{name}: pages are plain Markdown"


def test_pages_are_about_existing_blocks_only(root, schemas):
    docs = root / "web" / "docs"
    assert {path.stem for path in docs.glob("*.md")} == set(schemas)
    assert {path.name for path in docs.iterdir() if path.is_dir() and path.name != "media"} == set(schemas)


@pytest.mark.parametrize("code", ["en", "zh"])
def test_every_example_has_a_picture_made_by_the_model(root, schemas, code):
    for name in schemas:
        text = page(root, name, code).read_text("utf-8")
        example = text[
            text.index(f"## {WORDS[code]['by_hand'][0]}\n") : text.index(f"## {WORDS[code]['by_hand'][1]}\n")
        ]
        (shown,) = re.findall(r"!\[Sora Mini[:：][^\]]+\]\((.+?)\)", example)
        assert shown == f"media/{name}.webp"
    assert set(EXAMPLES) == set(schemas), "one picture per block, so that one command remakes them all"


def test_pictures_move_and_are_small(root):
    pictures = [root / "web" / "docs" / "media" / f"{name}.webp" for name in EXAMPLES]
    for path in pictures:
        assert Image.open(path).n_frames > 1, f"{path.name} stands still"
    shipped = [*(root / "web").rglob("*.webp"), *(root / "workflows").glob("*.jpg")]
    assert sum(path.stat().st_size for path in shipped) < 1_500_000


def test_settings_are_named_in_both_languages(root):
    script = (root / "web" / "js" / "sora.js").read_text("utf-8")
    words = {code: json.loads((root / "locales" / code / "settings.json").read_text("utf-8")) for code in ("en", "zh")}
    ids = [name.replace(".", "_") for name in re.findall(r'SETTING = "(.+)"', script)]
    assert ids == list(words["en"]) == list(words["zh"])
    for setting in words["en"].values():
        assert f'name: "{setting["name"]}"' in script
        assert f'tooltip: "{setting["tooltip"]}"' in script
    assert all(CHINESE.search(text) for _, text in leaves(words["zh"]))
