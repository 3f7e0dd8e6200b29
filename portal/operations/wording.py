"""What each reason for refusing a packet means to an operator, and what mends it."""

from ingestion.reading import Refusal

MEANING: dict[str, str] = {
    Refusal.EMPTY: "The packet was empty.",
    Refusal.TOO_LARGE: "The packet was larger than 64 kB.",
    Refusal.NOT_JSON: "The packet could not be read as JSON.",
    Refusal.NOT_AN_OBJECT: "The packet was JSON, but not an object.",
    Refusal.NO_DEVICE: "The packet did not say which device sent it.",
    Refusal.NO_TIME: "The packet did not say when it was measured.",
    Refusal.BAD_TIME: "The time of measurement could not be read.",
    Refusal.NO_OFFSET: "The time of measurement had no offset from UTC.",
    Refusal.NOTHING_MEASURED: "Nothing usable was measured.",
    Refusal.FUTURE: "The device's clock was more than five minutes ahead.",
    Refusal.TOO_OLD: "The device's clock was before the year 2000.",
    Refusal.UNKNOWN_DEVICE: "Nobody has added this device.",
    Refusal.UNASSIGNED: "The device was nobody's at the time of measurement.",
    Refusal.UNKNOWN_ACCOUNT: "The account that synced it belongs to no patient.",
    Refusal.NO_CONSENT: "The person has not consented to care. Nothing of the packet is kept.",
}
MENDED_BY: dict[str, str] = {
    Refusal.UNKNOWN_DEVICE: "Add the device in the administration and assign it, then replay.",
    Refusal.UNASSIGNED: "Assign the device from the time it was worn, then replay.",
    Refusal.UNKNOWN_ACCOUNT: "Link the account to its patient, then replay.",
    Refusal.FUTURE: "Set the device's clock. A replay admits what is no longer in the future.",
    Refusal.NO_CONSENT: "Nothing to mend: it is the person's decision.",
}
