"""Texts that look alike and ask something else are told apart; other words for the same are not."""

import pytest

from orchmagic.models.semantic.differences import difference
from orchmagic.models.semantic.text_features import english

SAME = [
    ("How do I reset my password?", "how can I reset my password"),
    ("What's the best way to learn Java?", "How do I learn Java?"),
    ("Where can I buy a car?", "Where can I purchase a car?"),
    ("What is the capital of Australia?", "What's Australia's capital?"),
    ("How do I change the email address on my account?", "How do I chnage the email adress on my acount?"),
    ("Is Ann a doctor or a nurse?", "Is Ann a nurse or a doctor?"),
    ("Does he really live in Rome?", "Does he live in Rome?"),
    ("Why is the sky blue?", "What is the reason the sky is blue?"),
    ("How many users can I add?", "How many users could I add, please?"),
    ("What are the rules in the US?", "What are the rules in the United States?"),
    ("Where can I upload a photo?", "Where can I upload a picture?"),
    ("How do I prepare effective slides for a talk on bees?", "How do I make a good presentation about bees?"),
    (
        "Any effective home treatment for allergies that I can do?",
        "Any home remedies that can help to manage allergies?",
    ),
]

APART = [
    ("polarity", "Is aspirin safe for dogs?", "Is aspirin unsafe for dogs?", "word"),
    ("polarity", "Is aspirin safe for dogs?", "Is aspirin not safe for dogs?", "negation"),
    ("polarity", "Can I claim this back?", "Can't I claim this back?", "negation"),
    ("polarity", "How do I enable two-factor login?", "How do I disable two-factor login?", "word"),
    ("polarity", "Which foods should I eat?", "Which foods should I avoid?", "negation"),
    ("number", "What's 15% of 200?", "What's 50% of 200?", "number"),
    ("number", "Track order 48213 for me", "Track order 48231 for me", "number"),
    ("number", "Is the 9:15 train on time?", "Is the 9:45 train on time?", "number"),
    ("number", "Do I get a table for two?", "Do I get a table for twelve?", "number"),
    ("date", "What happened on 3 May 2021?", "What happened on 3 May 2022?", "number"),
    ("date", "Is the shop open on Monday?", "Is the shop open on Sunday?", "word"),
    ("name", "What's the capital of Australia?", "What's the capital of Austria?", "word"),
    ("name", "Does Ann trust Bob?", "Does Bob trust Ann?", "order"),
    ("unit", "How far is it in miles?", "How far is it in kilometers?", "word"),
    ("unit", "What is the price in $?", "What is the price in €?", "mark"),
    ("mark", "How do I learn C++ fast?", "How do I learn C# fast?", "mark"),
    ("scope", "Can I cancel before the trial?", "Can I cancel after the trial?", "scope"),
    ("scope", "Is this dose right for adults?", "Is this dose right for children?", "word"),
    ("scope", "Is Ann a doctor and a nurse?", "Is Ann a doctor or a nurse?", "scope"),
    ("scope", "Would he reject her?", "Would she reject him?", "scope"),
    ("question", "Why are these curable?", "What are the curable ones?", "question"),
    ("question", "How can I renounce it there?", "Can I renounce it there?", "question"),
    ("question", "What do I need to verify?", "What is the need to verify?", "question"),
    ("tense", "Is Ann an actor in Rome?", "Was Ann an actor in Rome?", "tense"),
    ("roles", "Did Ann leave the house?", "Was Ann left by the house?", "scope"),
    ("roles", "How do I convert Word to PDF?", "How do I convert PDF to Word?", "order"),
    ("person", "Why are you sad today?", "Why am I sad today?", "person"),
]

# written apart, so that single words mean little: but for these
RETOLD = [
    ("How do I freeze fresh spinach leaves at home?", "How do I thaw spinach that is hard as stone?", "opposite"),
    ("Which morning exercises strengthen back muscles?", "Which evening routine relaxes a back?", "opposite"),
    ("Which sort of mushroom is edible and easily found?", "What inedible fungus grows in my wet garden?", "opposite"),
    ("Does coffee harm the baby of a pregnant woman?", "Is drinking coffee safe in pregnancy?", "opposite"),
    ("What documents do tourists show when visiting Kenya?", "Which papers do travellers take to Peru?", "name"),
    ("What documents do tourists show when visiting Wales?", "Which papers do travellers take abroad?", "name"),
    ("What should visitors not bring on a ship?", "What can a passenger take along on a boat?", "negation"),
    ("Which two papers do tourists show at the border?", "Which documents do travellers need to cross?", "number"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_other_words_for_the_same_question_are_no_difference(one, other):
    assert difference(one, other) == ""
    assert difference(other, one) == ""


@pytest.mark.parametrize(("kind", "one", "other", "told"), APART)
def test_what_changes_the_answer_is_told(kind, one, other, told):
    assert difference(one, other).startswith(told)
    assert difference(other, one).startswith(told)


@pytest.mark.parametrize(("one", "other", "told"), RETOLD)
def test_a_text_that_is_told_quite_otherwise_differs_by_names_and_opposites(one, other, told):
    assert difference(one, other).startswith(told)
    assert difference(other, one).startswith(told)


def test_one_or_two_words_exchanged_are_no_other_telling():
    one = "Which vaccinations does a small child need for a long flight to the coast?"
    assert difference(one, one.replace("coast", "mountains").replace("small", "sleepy")).startswith("word")


def test_nor_are_three_in_a_long_text():
    one = "Which vaccinations, papers, clothes and medicines does my small child need for flights, ferries and trains to France?"
    other = one.replace("clothes", "snacks").replace("ferries", "taxis").replace("small", "sleepy")
    assert difference(one, other).startswith("word")


def test_a_short_text_is_never_another_telling():
    assert difference("Who sells shiny brass trumpets?", "Who eats green apples?").startswith("word")


def test_a_difference_is_told_for_people():
    assert difference("What is 15% of 200?", "What is 50% of 200?") == "number: 15 or 50"


def test_two_real_words_are_no_typo_of_each_other():
    assert difference("Where is my order of pasta?", "Where is my order of paste?").startswith("word")


def test_a_misspelt_name_is_another_name():
    assert difference("Who is Mr Hansen please?", "Who is Mr Hanson please?").startswith("word")


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("How do I reset my password?", True),
        ("Wie setze ich mein Passwort zurück?", False),
        ("Comment est-ce que je change le mot de passe ?", False),
        ("¿Cómo puedo cambiar la contraseña de mi cuenta?", False),
        ("パスワードをリセットするには", False),
        ("Как сбросить пароль в системе", False),
        ("48213 / 99", False),
        ("", False),
    ],
)
def test_only_english_is_compared(text, known):
    assert english(text) is known
