"""Patterns of API keys and tokens by provider: kind, a substring that must occur, and the regular expression.

The providers publish these patterns; secret scanners (gitleaks, trufflehog, detect-secrets) use them too.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Form(NamedTuple):
    """`hint`: a substring of every such token, a cheap first test. Group 1 of `pattern` is the secret."""

    what: str
    hint: str
    pattern: re.Pattern[str]


def _form(what: str, hint: str, form: str) -> Form:
    return Form(what, hint, re.compile(rf"(?<![A-Za-z0-9])({form})(?![A-Za-z0-9])"))


_KEY = r"[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"

FORMS: tuple[Form, ...] = (
    _form("private key", "PRIVATE KEY", rf"-----BEGIN {_KEY}(?:[^-]|-(?!----BEGIN)){{16,20000}}?-----END {_KEY}"),
    _form("aws access key", "A", r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}"),
    _form("aws bedrock key", "ABSK", r"ABSK[A-Za-z0-9+/]{109,269}={0,2}"),
    _form("github token", "gh", r"gh[pousr]_[A-Za-z0-9]{36,255}"),
    _form("github token", "github_pat_", r"github_pat_[A-Za-z0-9_]{22,255}"),
    _form("gitlab token", "gl", r"gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|oas|soat|ffct)-[A-Za-z0-9_.=-]{20,320}"),
    _form("slack token", "xox", r"xox[abeoprs]-(?:\d-)?[A-Za-z0-9-]{10,250}"),
    _form("slack token", "xapp-", r"xapp-\d-[A-Z0-9]{8,15}-\d{8,15}-[a-f0-9]{32,80}"),
    _form(
        "slack webhook",
        "hooks.slack.com",
        r"https://hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9+/_-]{30,90}",
    ),
    _form(
        "discord webhook",
        "/api/webhooks/",
        r"https://(?:ptb\.|canary\.)?discord(?:app)?\.com/api/webhooks/\d{17,20}/[A-Za-z0-9_-]{60,80}",
    ),
    _form("discord token", ".", r"[MNO][A-Za-z0-9_-]{23,25}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,38}"),
    _form("zapier webhook", "hooks.zapier.com", r"https://hooks\.zapier\.com/hooks/catch/\d{3,12}/[A-Za-z0-9]{5,20}"),
    _form("nuget key", "oy2", r"oy2[a-z0-9]{43}"),
    _form("bitly key", "R_", r"R_[a-f0-9]{32}"),
    _form("stackhawk key", "hawk.", r"hawk\.[A-Za-z0-9_-]{20}\.[A-Za-z0-9_-]{20}"),
    _form("zoho token", "authtoken=", r"authtoken=[a-f0-9]{32}"),
    _form(
        "teams webhook",
        "webhook.office.com",
        r"https://[a-z0-9-]{1,60}\.webhook\.office\.com/webhookb2/[A-Za-z0-9@/_-]{60,250}",
    ),
    _form("stripe key", "k_", r"[rs]k_(?:live|test|prod)_[A-Za-z0-9]{10,120}"),
    _form("stripe webhook secret", "whsec_", r"whsec_[A-Za-z0-9+/]{24,80}={0,2}"),
    _form("anthropic key", "sk-ant-", r"sk-ant-[A-Za-z0-9_-]{20,200}"),
    _form("openrouter key", "sk-or-", r"sk-or-v1-[A-Za-z0-9]{32,80}"),
    _form("openai key", "sk-", r"sk-(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{20,250}"),
    _form("openai key", "sk-", r"sk-[A-Za-z0-9]{32,64}"),
    _form("google api key", "AIza", r"AIza[A-Za-z0-9_-]{35}"),
    _form("google token", "ya29.", r"ya29\.[A-Za-z0-9_-]{20,500}"),
    _form("google client secret", "GOCSPX-", r"GOCSPX-[A-Za-z0-9_-]{28}"),
    _form("huggingface token", "hf_", r"(?:hf|api_org)_[A-Za-z]{34}"),
    _form("groq key", "gsk_", r"gsk_[A-Za-z0-9]{40,60}"),
    _form("xai key", "xai-", r"xai-[A-Za-z0-9]{60,100}"),
    _form("perplexity key", "pplx-", r"pplx-[A-Za-z0-9]{40,60}"),
    _form("replicate token", "r8_", r"r8_[A-Za-z0-9]{37}"),
    _form("nvidia key", "nvapi-", r"nvapi-[A-Za-z0-9_-]{60,75}"),
    _form("langsmith key", "lsv2_", r"lsv2_(?:pt|sk)_[a-f0-9]{32}_[a-f0-9]{10}"),
    _form("npm token", "npm_", r"npm_[A-Za-z0-9]{36}"),
    _form("pypi token", "pypi-AgE", r"pypi-AgE[A-Za-z0-9_-]{50,1000}"),
    _form("rubygems key", "rubygems_", r"rubygems_[a-f0-9]{48}"),
    _form("docker token", "dckr_", r"dckr_[po]at_[A-Za-z0-9_-]{27,32}"),
    _form("sendgrid key", "SG.", r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{32,64}"),
    _form("mailgun key", "key-", r"key-[A-Za-z0-9]{32}"),
    _form("amazon mws key", "amzn.mws.", r"amzn\.mws\.[a-f0-9]{8}(?:-[a-f0-9]{4}){3}-[a-f0-9]{12}"),
    _form("facebook token", "EAA", r"EAA(?:CEdEose0cBA|[A-Z])[A-Za-z0-9]{20,400}"),
    _form("firebase key", "AAAA", r"AAAA[A-Za-z0-9_-]{7}:[A-Za-z0-9_-]{140}"),
    _form("dynatrace token", "dt0", r"dt0[A-Za-z]\d{2}\.[A-Z0-9]{24}\.[A-Z0-9]{64}"),
    _form("riot key", "RGAPI-", r"RGAPI-[a-fA-F0-9]{8}(?:-[a-fA-F0-9]{4}){3}-[a-fA-F0-9]{12}"),
    _form(
        "office webhook",
        "outlook.office.com/webhook/",
        r"https://outlook\.office\.com/webhook/[A-Za-z0-9@-]{8,120}/IncomingWebhook/[A-Za-z0-9-]{8,80}/[A-Za-z0-9-]{8,80}",
    ),
    _form("mailchimp key", "-us", r"[a-f0-9]{32}-us\d{1,2}"),
    _form("twilio key", "SK", r"SK[a-f0-9]{32}"),
    _form("telegram token", ":A", r"\d{8,10}:A[A-Za-z0-9_-]{34}"),
    _form("shopify token", "shp", r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"),
    _form("square token", "sq", r"sq[0O][a-z]{3}-[A-Za-z0-9_-]{22,43}"),
    _form("square token", "EAAA", r"EAAA[A-Za-z0-9_-]{60}"),
    _form("paypal token", "access_token$production$", r"access_token\$production\$[a-z0-9]{16}\$[a-f0-9]{32}"),
    _form("digitalocean token", "_v1_", r"do[opr]_v1_[a-f0-9]{64}"),
    _form("databricks token", "dapi", r"dapi[a-f0-9]{32}(?:-\d)?"),
    _form("vault token", "hv", r"hv[sbr]\.[A-Za-z0-9_-]{24,300}"),
    _form("terraform token", ".atlasv1.", r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,70}"),
    _form("pulumi token", "pul-", r"pul-[a-f0-9]{40}"),
    _form("doppler token", "dp.", r"dp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9._-]{40,50}"),
    _form("grafana token", "gl", r"gl(?:c_[A-Za-z0-9+/]{32,400}={0,2}|sa_[A-Za-z0-9]{32}_[a-f0-9]{8})"),
    _form("new relic key", "NR", r"NR(?:AK|AA|BR|II|IQ|RA|SP)-[A-Za-z0-9_-]{27,42}"),
    _form("sentry token", "sntry", r"sntry[su]_[A-Za-z0-9+/=_]{43,300}"),
    _form("linear key", "lin_api_", r"lin_api_[A-Za-z0-9]{40}"),
    _form("notion token", "_", r"(?:ntn|secret)_[A-Za-z0-9]{40,60}"),
    _form("figma token", "figd_", r"figd_[A-Za-z0-9_-]{40,60}"),
    _form("airtable token", "pat", r"pat[A-Za-z0-9]{14}\.[a-f0-9]{64}"),
    _form("atlassian token", "ATATT3", r"ATATT3[A-Za-z0-9_=-]{100,250}"),
    _form("postman key", "PMAK-", r"PMAK-[a-f0-9]{24}-[a-f0-9]{34}"),
    _form("heroku key", "HRKU-", r"HRKU-[A-Za-z0-9_-]{36,64}"),
    _form("flyio token", "FlyV1 ", r"FlyV1 fm\d[A-Za-z0-9+/=,_-]{80,1200}"),
    _form("supabase key", "sb", r"sb(?:p_[a-f0-9]{40}|_secret_[A-Za-z0-9_-]{20,60})"),
    _form("age key", "AGE-SECRET-KEY-1", r"AGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}"),
    _form("azure storage key", "AccountKey=", r"AccountKey=[A-Za-z0-9+/]{86}=="),
    _form("azure signature", "sig=", r"sig=[A-Za-z0-9%]{43,100}(?:%3D|=)"),
    _form("azure client secret", "Q~", r"[A-Za-z0-9_~.]{3}\dQ~[A-Za-z0-9_~.-]{31,34}"),
    _form("json web token", "eyJ", r"eyJ[A-Za-z0-9_-]{8,4000}\.eyJ[A-Za-z0-9_-]{8,8000}\.[A-Za-z0-9_-]{10,2000}"),
)  # fmt: skip
