"""Tokens that nobody counted: what a text probably takes, and what it cannot exceed."""

# ruff: noqa: RUF001 - texts in other scripts

from __future__ import annotations

import time

import pytest

from orchmagic.core import tokens
from orchmagic.graph.functions.chunking import estimated_tokens

# What o200k_base counts (npm package gpt-tokenizer 4.0.0).
COUNTED = [
    pytest.param(
        "The committee met on Tuesday to discuss the proposed changes to the reading room. Severa"
        "l members argued that longer opening hours would help students who work during the day, "
        "while others worried about the cost of heating an old building through the winter evenin"
        "gs.",
        47,
        id="English",
    ),
    pytest.param(
        "Is this ticket urgent? Answer with one label.",
        10,
        id="a short question",
    ),
    pytest.param(
        "Hi Marta,\n\nthanks for the quick reply. Could you send me the invoice for order A-1042 ag"
        "ain? The PDF in your last mail (12 March) cannot be opened: it's only 3 KB.\n\nBest,\nJonas",
        47,
        id="an e-mail",
    ),
    pytest.param(
        "Der Ausschuss hat am Dienstag über die geplanten Änderungen beraten. Mehrere Mitglieder "
        "wiesen darauf hin, dass längere Öffnungszeiten vor allem Berufstätigen nützen würden; an"
        "dere befürchteten höhere Heizkosten für das denkmalgeschützte Gebäude. Die Entscheidung "
        "über die Genehmigung wurde auf die nächste Sitzung verschoben.",
        68,
        id="German",
    ),
    pytest.param(
        "Le comité s'est réuni mardi pour examiner les modifications proposées. Plusieurs membres"
        " ont souligné que des horaires prolongés aideraient les étudiants qui travaillent pendan"
        "t la journée, tandis que d'autres s'inquiétaient du coût du chauffage d'un bâtiment anci"
        "en pendant l'hiver.",
        54,
        id="French",
    ),
    pytest.param(
        "El comité se reunió el martes para estudiar los cambios propuestos. Varios miembros seña"
        "laron que un horario más amplio ayudaría a quienes trabajan durante el día; otros temían"
        " el coste de calentar un edificio antiguo durante las noches de invierno.",
        49,
        id="Spanish",
    ),
    pytest.param(
        "Во вторник комиссия обсудила предложенные изменения. Несколько участников отметили, что "
        "более длинные часы работы помогут студентам, которые заняты днём, а другие опасались рас"
        "ходов на отопление старого здания зимой.",
        47,
        id="Russian",
    ),
    pytest.param(
        "委员会星期二开会讨论了阅览室的改造方案。几位委员认为，延长开放时间可以帮助白天工作的学生"
        "；也有人担心冬天晚上为老建筑供暖的费用。最后大家同意下个月再作决定，并请秘书准备一份详细"
        "的预算。",
        65,
        id="Chinese",
    ),
    pytest.param(
        "委員会は火曜日に会合を開き、閲覧室の改修案について話し合いました。開館時間を延ばせば昼間"
        "に働いている学生の助けになるという意見がある一方で、冬の夜に古い建物を暖める費用を心配す"
        "る声もありました。",
        77,
        id="Japanese",
    ),
    pytest.param(
        "위원회는 화요일에 모여 열람실 개선안을 논의했다. 여러 위원은 개관 시간을 늘리면 낮에 일하"
        "는 학생들에게 도움이 될 것이라고 말했고, 다른 위원들은 겨울밤 난방 비용을 걱정했다.",
        56,
        id="Korean",
    ),
    pytest.param(
        "समिति ने मंगलवार को वाचनालय में प्रस्तावित बदलावों पर चर्चा की। कई सदस्यों ने कहा कि खुल"
        "ने का समय बढ़ाने से दिन में काम करने वाले छात्रों को मदद मिलेगी, जबकि कुछ लोगों को सर्दि"
        "यों की शामों में पुरानी इमारत को गर्म रखने के खर्च की चिंता थी।",
        67,
        id="Hindi",
    ),
    pytest.param(
        "اجتمعت اللجنة يوم الثلاثاء لمناقشة التغييرات المقترحة في قاعة القراءة. رأى عدد من الأعضا"
        "ء أن تمديد ساعات العمل سيساعد الطلاب الذين يعملون خلال النهار، بينما قلق آخرون من تكلفة "
        "التدفئة في الشتاء.",
        56,
        id="Arabic",
    ),
    pytest.param(
        'def load(path: Path, *, limit: int | None = None) -> list[Row]:\n    """Read rows from a '
        'CSV file."""\n    with path.open(newline="") as file:\n        reader = csv.DictReader(fil'
        "e)\n        rows = [Row(**{k: v.strip() for k, v in line.items()}) for line in reader]\n  "
        '  if limit is not None and len(rows) > limit:\n        raise ValueError(f"{path}: {len(ro'
        'ws)} rows, at most {limit}")\n    return rows\n',
        110,
        id="Python",
    ),
    pytest.param(
        "export function debounce<T extends unknown[]>(fn: (...args: T) => void, ms = 250) {\n  le"
        "t timer: ReturnType<typeof setTimeout> | undefined;\n  return (...args: T): void => {\n   "
        " clearTimeout(timer);\n    timer = setTimeout(() => fn(...args), ms);\n  };\n}\n",
        67,
        id="TypeScript",
    ),
    pytest.param(
        "SELECT c.name, COUNT(*) AS orders, SUM(o.total) AS revenue\nFROM customers c\nJOIN orders "
        "o ON o.customer_id = c.id\nWHERE o.created_at >= '2026-01-01' AND o.status <> 'cancelled'"
        "\nGROUP BY c.name\nHAVING SUM(o.total) > 1000\nORDER BY revenue DESC\nLIMIT 20;",
        77,
        id="SQL",
    ),
    pytest.param(
        '{"id": 1042, "customer": {"name": "Ada", "email": "ada@example.com"}, "items": [{"sku": '
        '"LAMP-7", "count": 2, "price": 19.95}, {"sku": "BULB-3", "count": 6, "price": 2.5}], "pa'
        'id": true, "note": null, "created": "2026-03-12T10:04:00Z"}',
        102,
        id="JSON",
    ),
    pytest.param(
        '{\n  "id": 1042,\n  "customer": {\n    "name": "Ada",\n    "email": "ada@example.com"\n  },\n '
        ' "items": [\n    {\n      "sku": "LAMP-7",\n      "count": 2,\n      "price": 19.95\n    }\n  '
        '],\n  "paid": true\n}',
        76,
        id="JSON with indents",
    ),
    pytest.param(
        "| name | spent | tokens |\n|------|------:|-------:|\n| triage | $0.012 | 4,211 |\n| digest"
        " | $0.310 | 98,040 |\n",
        43,
        id="Markdown table",
    ),
    pytest.param(
        "2026-03-12 10:04:00,123 ERROR worker-3 orders.payment: charge failed for A-1042 (HTTP 50"
        "3), retry 2/5 in 4.0 s\n2026-03-12 10:04:04,377 INFO  worker-3 orders.payment: charged 42"
        ".40 EUR\n",
        74,
        id="a log",
    ),
    pytest.param(
        "31415926535897932384626433832795028841971693993751058209749445923078164062862089986280348253421170679",
        34,
        id="long numbers",
    ),
    pytest.param(
        "0.8444218515250481, 0.7579544029403025, 0.420571580830845, 0.25891675029296335, 0.5112747213686085",
        47,
        id="decimals",
    ),
    pytest.param(
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        43,
        id="hexadecimal",
    ),
    pytest.param(
        "Great work, team! 🎉🎉 We shipped it 🚀🔥 and nobody cried 😂 see you tomorrow 👋 ✅ 🙏",
        27,
        id="emoji",
    ),
    pytest.param(
        "PLEASE READ ALL INSTRUCTIONS BEFORE YOU CONNECT THE DEVICE TO THE MAINS. DO NOT OPEN THE CASE.",
        21,
        id="capitals",
    ),
]


@pytest.mark.parametrize(("text", "count"), COUNTED)
def test_an_estimate_is_within_a_quarter_of_what_a_tokenizer_counts(text, count):
    assert 0.75 * count <= tokens.estimated(text) <= 1.25 * count
    assert 0.75 * count <= estimated_tokens(text) <= 1.25 * count + 1


def test_all_texts_together_are_within_a_tenth():
    texts, counts = zip(*(row.values for row in COUNTED), strict=True)
    assert sum(map(tokens.estimated, texts)) == pytest.approx(sum(counts), rel=0.1)


@pytest.mark.parametrize("text", ["", " ", "\ud800", "a", "\r"])
def test_the_least_estimate_is_one_token(text):
    assert tokens.estimated(text) == 1


def test_a_long_text_is_estimated_from_samples():
    text = COUNTED[0].values[0] * 4_000
    began = time.perf_counter()
    found = tokens.estimated(text)
    assert time.perf_counter() - began < 1
    assert found == pytest.approx(4_000 * COUNTED[0].values[1], rel=0.1)


@pytest.mark.parametrize("at", [1, 7, 40, 90])
def test_the_parts_of_a_text_that_is_cut_between_pieces_weigh_what_it_weighs(at):
    text = "".join(row.values[0] for row in COUNTED)
    pieces = list(tokens.weighed(text))
    cut = sum(length for length, _ in pieces[:at])
    assert [*tokens.weighed(text[:cut]), *tokens.weighed(text[cut:])] == pieces
    assert sum(length for length, _ in pieces) == len(text)


@pytest.mark.parametrize(("text", "images", "count"), [("", 0, 0), ("abcde", 0, 5), ("é", 0, 2), ("ab", 2, 6_002)])
def test_no_text_has_more_tokens_than_bytes_and_no_image_more_than_the_largest(text, images, count):
    assert tokens.at_most(text, images) == count
