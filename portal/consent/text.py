"""What a person reads before giving or withdrawing consent. A changed text is a new version."""

from portal.consent.models import Purpose

VERSION = "2026-11"

TEXTS: dict[str, str] = {
    Purpose.CARE: (
        "My care team may receive my readings, watch them by my monitoring plan, and be told when they leave the range "
        "that was set. Without this, nothing my devices send is kept."
    ),
    Purpose.PERSONAL_MODEL: (
        "Wellrange may learn from my own history what is normal for me, so that changes are noticed earlier. Fixed "
        "safety limits work without this."
    ),
    Purpose.CHAT: "The assistant may read my own history to answer the questions I ask it.",
    Purpose.RESEARCH: "My readings, without my name, may be used for research that my provider has approved.",
    Purpose.SHARING: "My readings may be sent to other services that I connect.",
}
