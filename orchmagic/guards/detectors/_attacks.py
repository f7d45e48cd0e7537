"""How attacks are worded: kind and form. A strong one is seldom said with good intent, a weak one often is.

Forms are matched in lower case, three times as fast as ignoring case. In them a blank matches any white space,
and <ALL> and the like the words of `_PARTS`.
"""

from __future__ import annotations

import re

_PARTS = {
    "FORGET": (
        r"(?:ignor\w*|disregard\w*|forget\w*|overrid\w*|overwrit\w*|bypass\w*|neglect|dismiss|discard|drop|skip|"
        r"abandon|do not (?:follow|obey)|don'?t (?:follow|obey)|stop following|violate|circumvent)"
    ),
    "ALL": (r"(?:all |any |every |each |of |the |your |my |our |these |those |what(?:ever)? )*"),
    "BEFORE": (
        r"(?:previous(?:ly)?|prior|preceding|earlier|above|foregoing|former|past|initial|original|existing|current|"
        r"old|system|safety|developer|openai\S*|other)"
    ),
    "ORDERS": (
        r"(?:i\w{0,3}nstruc\w*|instruct\w*|prompts?|directions?|directives?|commands?|orders?|rules?|guidelines?|"
        r"polic(?:y|ies)|constraints?|restrictions?|limitations?|training|programming|guardrails?|safeguards?|"
        r"messages?|context|conversations?|text)"
    ),
}


def _forms(*pairs: tuple[str, str]) -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((what, re.compile(_expanded(form))) for what, form in pairs)


def _expanded(form: str) -> str:
    for name, words in _PARTS.items():
        form = form.replace(f"<{name}>", words)
    return form.replace(" ", r"\s+")


STRONG = _forms(
    (
        "order to forget orders",
        r"\b<FORGET> (?:about )?<ALL>(?:<BEFORE>(?: (?:and|or) \w+)? ){1,3}(?:\w+ ){0,2}?<ORDERS>",
    ),
    (
        "order to forget orders",
        (
            r"\b<FORGET> (?:about )?<ALL><ORDERS> (?:\w+ ){0,3}?(?:above|before|so far|previously|prior|given|you "
            r"(?:have|were|got|received)|you'?ve|until now)"
        ),
    ),
    (
        "order to forget orders",
        (
            r"\b<FORGET> (?:everything|anything|all) (?:\w+ ){0,4}?(?:above|before|previous(?:ly)?|prior|so far|said|"
            r"told|written|else|instructed)"
        ),
    ),
    (
        "order to forget orders",
        r"\b<FORGET> (?:your|all (?:of )?your|any of your) (?:\w+ ){0,2}?<ORDERS>",
    ),
    (
        "order to forget orders",
        (
            r"\b(?:ignorier\w*|vergiss|ignorez|oubli(?:e|ez)|ignora|olvida|ignore|esqueça|dimentica) (?:\w+ "
            r"){0,3}?(?:vorherig\w*|bisherig\w*|obig\w*|précédent\w*|anteriores?|previas?|precedenti)\b"
        ),
    ),
    (
        "order to forget orders",
        r"(?:忽略|无视|忘记).{0,8}(?:指令|指示|提示|规则)",
    ),
    (
        "order to forget orders",
        (
            r"\b(?:vergiss|ignorier\w*|oubli(?:e|ez)|ignor(?:e|ez|a)|olvida|dimentica|esqueça) (?:\w+ "
            r"){0,3}?(?:instrucciones|instruções|istruzioni|anweisungen|instructions|regeln|consignes|règles|reglas|"
            r"regole|alles,? was|tout ce qu|todo lo que|tutto (?:quello|ciò))"
        ),
    ),
    (
        "attack in a code",
        (
            r"\b(?:decode|translate|decrypt|decipher|convert) (?:\w+ ){0,8}?(?:rot-?13|base-?64|hex\w*|binary|morse|"
            r"cipher\w*)\b[^.\n]{0,60}\b(?:execute|follow|obey|carry out|run|do what|act on|comply)"
        ),
    ),
    (
        "attack in a code",
        r"vtaber \w+ (?:\w+ )?(?:cerivbhf|cevbe|vafgehpgvbaf)|snoitcurtsni (?:\w+ ){0,2}(?:suoiverp|roirp|lla)",
    ),
    (
        "new orders",
        (
            r"\b(?:new|updated|important|urgent|actual|real|secret) (?:system )?instructions?\s*(?:follow|:|are|begin|"
            r"from (?:the )?(?:system|developer|admin\w*))"
        ),
    ),
    (
        "new orders",
        (
            r"(?:<|\[|\{)\s*/?\s*(?:important|information|instructions?|system(?:_?(?:prompt|message|instructions?))?|"
            r"admin\w*|override|user_?query)\s*(?:>|\]|\})"
        ),
    ),
    (
        "forged turn",
        (
            r"<\|\s*(?:im_start|im_end|system|user|assistant|endoftext|eot_id|start_header_id|end_header_id|"
            r"begin_of_text)\s*\|?>|\[/?inst\]|<</?sys>>|<(?:start|end)_of_turn>"
        ),
    ),
    (
        "forged turn",
        (
            r"(?:^|\n)[^\S\n]{0,40}(?:#{1,4}[^\S\n]{0,9})?(?:\[|\()?(?:system|developer|"
            r"admin(?:istrator)?)\s*(?:message|prompt|override|"
            r"note|update|notice)?(?:\]|\))?\s*:\s*\S"
        ),
    ),
    (
        "forged turn",
        r"(?<!#)#{2,9}[^\S\n]{0,9}[\[(<{]\s*(?:system|developer|admin|instructions?)[\w\s]{0,20}[\])>}]",
    ),
    (
        "jailbreak role",
        (
            r"\b(?:do anything now|dan mode|jail-?break(?:ed|ing)?|unjailbroken|developer mode (?:enabled|on|output|"
            r"activated)|god mode|sudo mode|evil[\s-]?bot|aim stands for|always intelligent and machiavellian|opposite "
            r"mode|uncensored (?:mode|ai|model|assistant|chatbot|response)|unfiltered (?:and|ai|mode|response|bot|"
            r"chatbot|assistant|language)|amoral (?:ai|and|chatbot|assistant|bot))\b"
        ),
    ),
    (
        "jailbreak role",
        (
            r"\b(?:free|freed|liberated|released|unshackled|broken free) (?:of|from) (?:all |any |the |"
            r"its |your |their "
            r")*(?:typical |usual |normal |ethical |moral )*(?:confines|restrictions?|limits|limitations|constraints|"
            r"rules|filters?|chains|shackles|openai\w*|censorship)"
        ),
    ),
    (
        "jailbreak role",
        (
            r"\b(?:without|no|has no|have no|lacks?|devoid of|free of|zero) (?:any |all |of )*(?:ethical|moral|legal|"
            r"content|safety)(?:\s*(?:,|and|or|/)\s*(?:ethical|moral|legal|content|safety))* (?:restrictions?|"
            r"guidelines?|constraints?|limits?|limitations?|boundaries|filters?|principles|considerations|polic(?:y|"
            r"ies)|rules|concerns|codes?|standards?|compass)"
        ),
    ),
    (
        "jailbreak role",
        (
            r"\b(?:never|not|cannot|can'?t|won'?t|don'?t) (?:ever )?(?:refuse|reject|decline|deny) (?:to (?:answer|"
            r"respond|comply|do)|any|a (?:request|question|prompt|user)|my|the user'?s?|anything|me|an? order|direct)"
        ),
    ),
    (
        "asks for the system prompt",
        (
            r"\b(?:reveal|show|print|repeat|output|display|disclose|tell me|give me|leak|dump|recite|spell out|write "
            r"(?:out|down)|summari[sz]e|translate|what (?:is|are|was|were)|share|provide|copy|return|expose|list) "
            r"(?:\w+ ){0,4}?(?:your|the|all|full|complete|initial|original|entire|hidden|"
            r"exact) (?:\w+ ){0,2}?(?:system "
            r"(?:prompt|message|instructions?)|initial (?:prompt|instructions?)|hidden (?:prompt|instructions?|rules)|"
            r"original (?:prompt|instructions?)|prompt (?:text|verbatim)|instructions? (?:verbatim|word for word|above|"
            r"you were given))"
        ),
    ),
    (
        "asks for the system prompt",
        (
            r"\b(?:repeat|print|output|write|copy|translate) (?:\w+ ){0,3}?(?:everything|all|words|text|the text|"
            r"sentences?) (?:\w+ ){0,2}?above\b"
        ),
    ),
    (
        "orders for an assistant",
        (
            r"\b(?:as|to|dear|hey|hello|hi|attention|note (?:to|for))[\s,]+(?:all |any |the )?(?:ai|llm|language "
            r"model)(?: (?:assistants?|agents?|models?|systems?))?[\s,:]+(?:\w+ ){0,8}?(?:must|should|please|ignore|"
            r"send|execute|forward|include|reading|processing|do not)\b"
        ),
    ),
    (
        "orders for an assistant",
        (
            r"\bbefore (?:you )?(?:can )?(?:solv\w+|answer\w*|complet\w+|finish\w*|do\w*|perform\w*) (?:\w+ "
            r"){0,6}?(?:task|request|question)[^.\n]{0,80}\b(?:do the following|first|must|need to)"
        ),
    ),
    (
        "order not to tell",
        (
            r"\b(?:do not|don'?t|never|without) (?:tell\w*|inform\w*|mention\w*|reveal\w*|notify\w*|alert\w*|ask\w*) "
            r"(?:\w+ ){0,4}?(?:the |this to (?:the )?)?(?:user|human|operator|anyone about this)\b"
        ),
    ),
)

WEAK = _forms(
    (
        "new role",
        (
            r"\b(?:you (?:are|will|must|shall) (?:now|going to|henceforth|from now on)|from (?:now|this point) "
            r"on(?:ward)?s?|you will (?:act|be|play|become|respond|answer|pretend)|act as|pretend (?:to be|you|that)|"
            r"role-?\s?play|simulate (?:a|an|being)|immerse yourself|take on the (?:role|persona)|stay in character|in "
            r"character)"
        ),
    ),
    (
        "talk of rules",
        (
            r"\b(?:restrictions?|openai|content polic\w+|usage polic\w+|ethical(?:ly)?|moral(?:s|ly|ity)?|censor\w*|"
            r"filters?|guidelines|unfiltered|uncensored|unrestricted|limitations)\b"
        ),
    ),
    (
        "talk of refusing",
        (
            r"\b(?:as an ai(?: language model)?|i (?:cannot|can'?t|can not) (?:do|help|assist|fulfil\w*|comply)|i(?:'| "
            r"a)m sorry,? but|refus(?:e|al|ing)|apologi[sz]e)\b"
        ),
    ),
    (
        "talk of harm",
        (
            r"\b(?:illegal(?:ly)?|immoral|unethical|harmful|dangerous|violen\w+|explicit|nsfw|offensive|derogatory|"
            r"profan\w+|swear|curse)\b"
        ),
    ),
    (
        "order to obey",
        (
            r"\b(?:you (?:must|have to|need to) (?:always )?(?:obey|comply|follow|do|answer|respond|accept|provide)|"
            r"obey (?:all|my|the|every)|no matter (?:what|how)|at all costs|comply with)\b"
        ),
    ),
    (
        "two answers",
        (
            r"\b(?:two (?:responses|answers|ways|paragraphs)|\[?(?:classic|jailbreak|gpt|dan)\]\s*:|(?:prefix|start|"
            r"begin) (?:your|each|every|all) (?:response|answer|reply|message)s? with)"
        ),
    ),
    (
        "names a tool",
        r"\b(?:call|use|invoke|run|execute|trigger) (?:the )?(?:tool |function )?[a-z]+(?:_[a-z]+)+\b",
    ),
    (
        "orders an order",
        (
            r"\bbefore (?:you )?(?:repl(?:y|ies|ying)|continu\w+|answer\w*|proceed\w*|respond\w*)\b|\bfor (?:the "
            r")?(?:ai|llm) (?:\w+ )?(?:agents?|assistants?)|\bto complete (?:this|the)?\s*\w+,"
        ),
    ),
    (
        "order about data",
        (
            r"\b(?:send|forward|email|upload|post|exfiltrate|transmit|transfer) (?:\w+ ){0,6}?(?:to (?:https?://|"
            r"[\w.+-]+@|the following)|password\w*|credential\w*|api keys?|secrets?)"
        ),
    ),
)
