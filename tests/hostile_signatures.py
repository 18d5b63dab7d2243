"""Forged ``Stripe-Signature`` headers."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha1, sha256, sha512
from hmac import digest
from typing import Any

from booking_payments.sandbox.signature import sign

BODY = b'{"id":"evt_1","object":"event","type":"payment_intent.succeeded"}'
SECRET, OLD = "whsec_new_0123456789abcdef", "whsec_old_fedcba9876543210"
AT = datetime.fromtimestamp(1_700_000_000, UTC)


def mac(message: bytes, secret: str, hash_: Callable[..., Any] = sha256) -> str:
    """The HMAC in hex."""
    return digest(secret.encode(), message, hash_).hex()


def hostile_headers(body: bytes, secret: str, now: datetime) -> dict[str, str]:
    """Return headers that are almost genuine for ``body`` under ``secret`` at ``now``, by their defect."""
    t = int(now.timestamp())
    v1 = mac(b"%d." % t + body, secret)

    def changed(digit: int) -> str:
        """The signature with one hex digit another."""
        return v1[:digit] + "0123456789abcdef"[(int(v1[digit], 16) + 1) % 16] + v1[digit + 1 :]

    def timestamped(text: str) -> str:
        """Correctly signed under a timestamp that is oddly written, for a reader that would take it."""
        return f"t={text},v1={mac(text.encode() + b'.' + body, secret)}"

    headers = {
        "empty": "",
        "blank": " ",
        "a NUL": "\x00",
        "only commas": "," * 40,
        "only equals": "=" * 40,
        "only names": "t,v1",
        "no values": "t=,v1=",
        "nonsense": "let me in",
        "JSON": '{"t": 1700000000, "v1": "' + v1 + '"}',
        "a list": f"['t={t}', 'v1={v1}']",
        "as a query": f"t={t}&v1={v1}",
        "with semicolons": f"t={t};v1={v1}",
        "with colons": f"t:{t},v1:{v1}",
        "with line breaks": f"t={t}\nv1={v1}",
        "quoted": f'"t={t},v1={v1}"',
        "quoted values": f't="{t}",v1="{v1}"',
        "no timestamp": f"v1={v1}",
        "no signature": f"t={t}",
        "an empty signature": f"t={t},v1=",
        "an empty timestamp": f"t=,v1={v1}",
        "two timestamps": f"t={t},t={t},v1={v1}",
        "a second timestamp behind": f"t={t},v1={v1},t={t + 9}",
        "a second timestamp in disguise": f"t={t},t=1=2,v1={v1}",
        "a capital T": f"T={t},v1={v1}",
        "a capital V": f"t={t},V1={v1}",
        "a blank before the name": f"t={t}, v1={v1}",
        "a blank after the name": f"t={t},v1 ={v1}",
        "a blank before the value": f"t={t},v1= {v1}",
        "a blank behind the value": f"t={t},v1={v1} ",
        "a blank in the timestamp": f"t= {t},v1={v1}",
        "a tab": f"t={t},v1={v1}\t",
        "a carriage return": f"t={t},v1={v1}\r",
        "a line break behind": f"t={t},v1={v1}\n",
        "a NUL behind": f"t={t},v1={v1}\x00",
        "scheme v0": f"t={t},v0={v1}",
        "scheme v2": f"t={t},v2={v1}",
        "scheme v10": f"t={t},v10={v1}",
        "scheme v": f"t={t},v={v1}",
        "scheme 1": f"t={t},1={v1}",
        "scheme v1 in wide letters": f"t={t},\uff561={v1}",
        "a downgrade": f"t={t},v0={v1},v1={'0' * 64}",
        "a part without a value": f"t={t},v1,v1={v1}",
        "a comma behind": f"t={t},v1={v1},",
        "all zeros": f"t={t},v1={'0' * 64}",
        "all f": f"t={t},v1={'f' * 64}",
        "upper case": f"t={t},v1={v1.upper()}",
        "mixed case": f"t={t},v1={v1[:32]}{v1[32:].upper()}",
        "with 0x": f"t={t},v1=0x{v1}",
        "in base64": f"t={t},v1=BfQFcECNPkDNOs3DBuPlRUZc9syCiZ3eonYpV3X21Ec=",
        "reversed": f"t={t},v1={v1[::-1]}",
        "twice in a row": f"t={t},v1={v1}{v1}",
        "one digit short": f"t={t},v1={v1[:-1]}",
        "one digit long": f"t={t},v1={v1}0",
        "half": f"t={t},v1={v1[:32]}",
        "one digit": f"t={t},v1={v1[0]}",
        "no hex": f"t={t},v1={'g' * 64}",
        "wide digits": f"t={t},v1=" + "\uff10" * 64,
        "an umlaut": f"t={t},v1=\u00fc{v1[1:]}",
        "an emoji": f"t={t},v1=\U0001f511",
        "a lone surrogate": f"t={t},v1=\ud800{v1[1:]}",
        "a joker": f"t={t},v1=*",
        "a pattern": f"t={t},v1=.*",
        "SQL": f"t={t},v1=' OR '1'='1",
        "many wrong ones": f"t={t}" + f",v1={'0' * 64}" * 13,
        "longer than allowed": f"t={t},v1={v1}," + "x=y," * 300,
        "a right one behind the limit": f"t={t}" + ",x=y" * 300 + f",v1={v1}",
        "huge": "v1=" + "a" * 1_000_000,
        "first digit": f"t={t},v1={changed(0)}",
        "middle digit": f"t={t},v1={changed(31)}",
        "last digit": f"t={t},v1={changed(63)}",
        "another timestamp": f"t={t + 1},v1={v1}",
        "another secret": sign(body, OLD, now),
        "the empty secret": sign(body, "", now),
        "the secret without its prefix": sign(body, secret.removeprefix("whsec_"), now),
        "the public test secret": sign(body, "whsec_test", now),
        "another body": sign(body + b" ", secret, now),
        "an empty body": sign(b"", secret, now),
        "the body re-encoded": sign(body.replace(b":", b": "), secret, now),
        "without the timestamp": f"t={t},v1={mac(body, secret)}",
        "without the dot": f"t={t},v1={mac(b'%d' % t + body, secret)}",
        "body and timestamp the other way round": f"t={t},v1={mac(body + b'.%d' % t, secret)}",
        "no HMAC": f"t={t},v1={sha256(secret.encode() + b'%d.' % t + body).hexdigest()}",
        "SHA-1": f"t={t},v1={mac(b'%d.' % t + body, secret, sha1)}",
        "SHA-512": f"t={t},v1={mac(b'%d.' % t + body, secret, sha512)}",
        "SHA-512, cut": f"t={t},v1={mac(b'%d.' % t + body, secret, sha512)[:64]}",
        "stale by a second": sign(body, secret, now - timedelta(seconds=301)),
        "stale by three days": sign(body, secret, now - timedelta(days=3)),
        "of the epoch": timestamped("0"),
        "from the future by a second": sign(body, secret, now + timedelta(seconds=301)),
        "from the far future": timestamped("999999999999"),
        "in milliseconds": timestamped(f"{t}000"),
        "a negative timestamp": timestamped(f"-{t}"),
        "a signed timestamp": timestamped(f"+{t}"),
        "a fraction": timestamped(f"{t}.0"),
        "an exponent": timestamped("17e8"),
        "hexadecimal": timestamped(hex(t)),
        "grouped digits": timestamped("1_700_000_000"),
        "Arabic digits": timestamped("\u0661\u0667" + "\u0660" * 8),
        "superscript digits": timestamped("\u00b9" * 10),
        "thirteen digits": timestamped("0" * 3 + str(t)),
        "five thousand digits": timestamped("1" * 5000),
        "infinity": timestamped("inf"),
        "no number": timestamped("NaN"),
        "a date": timestamped("2023-11-14T22:13:20Z"),
    }
    return headers
