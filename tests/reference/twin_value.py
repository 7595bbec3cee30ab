"""The naive twin's vouchers, claims, payables and payments (docs/spec/kinds.md)."""

from typing import Any

from tests.reference.twin_members import join_cycle
from tests.reference.twin_world import (
    AMOUNT_MAX,
    DAY_MS,
    HOUR_MS,
    Refused,
    Thing,
    World,
    day_of,
    due_of,
    month_of,
    need,
    only,
    rounded,
    split,
    start_of,
    tagged_hash,
    through_cycles,
    year_of,
)

OPEN_CLAIM = ("under_review", "disputed")
WAITING = ("to_be_drawn", "under_review", "disputed")


# Vouchers


def row_fits(
    world: World,
    programme: str,
    terms: Thing,
    holder: str,
    amount: int,
    before: list[tuple[str, int]],
) -> None:
    """T7.7, from the bounds on."""
    year = year_of(world.time)
    low, high = only(terms["caps"]["grant_min"]), only(terms["caps"]["grant_max"])
    need(amount >= (1 if low is None else low), 505)
    need(amount <= (AMOUNT_MAX if high is None else high), 505)
    world.caps_hold(programme, terms, year, holder, amount, before)
    world.funds_suffice(programme, terms, year, amount, before)
    need(sum(fen for _, fen in before) + amount <= AMOUNT_MAX, 308)


def mint(world: World, it: Thing) -> None:
    """T7."""
    programme = it["programme"]
    need(programme in world.programmes, 301)
    total = sum(amount for _, amount, _ in it["rows"])
    world.officers(world.issuer(programme), "mint", total)
    world.active(world.issuer(programme))
    need(world.programmes[programme]["status"] == "open", 304)
    version = it["terms_version"]
    world.in_force(programme, version)
    terms = world.terms(programme)
    need(terms["grant"] != "after_use", 504)
    before: list[tuple[str, int]] = []
    named: list[bytes] = []
    for holder, amount, decision in it["rows"]:
        need((programme, decision) not in world.decisions and decision not in named, 520)
        named.append(decision)
        world.party(holder, "holder")
        world.eligible(terms, holder)
        row_fits(world, programme, terms, holder, amount, before)
        before.append((holder, amount))
    need(world.totals(programme)["face"] + total <= AMOUNT_MAX, 308)
    expires_at = start_of(day_of(world.time) + terms["validity_days"] + 1)
    for (holder, amount), decision in zip(before, named, strict=True):
        world.commit(programme, terms, amount)
        year = year_of(world.time)
        world.decisions[programme, decision] = world.new_voucher(
            programme, holder, amount, expires_at, year, version
        )


def transfer(world: World, it: Thing) -> None:
    """T8."""
    holder, recipient, amount = it["holder"], it["recipient"], it["amount"]
    world.party(holder, "holder")
    world.consent(holder)
    world.free(holder)
    voucher = held_voucher(world, it["voucher"], holder)
    programme = voucher["programme"]
    world.not_held(("party", holder), ("programme", programme))
    world.vouchers_not_held(voucher["id"])
    world.party(recipient)
    need(recipient != holder, 509)
    world.party(recipient, "holder")
    world.consent(recipient)
    world.free(recipient)
    terms = world.terms(programme, voucher["version"])
    group = world.parties[holder]["group"]
    same_group = group != [] and group == world.parties[recipient]["group"]
    rule = terms["transfer"]
    need(rule == "enrolled" or (rule == "same_group" and same_group), 508)
    need(world.time < world.expiry(voucher), 503)
    need(amount <= voucher["available"], 502)
    world.eligible(terms, recipient)
    world.caps_hold(programme, terms, voucher["year"], recipient, amount, [])
    need(voucher["depth"] < 16, 519)
    voucher["face"] -= amount
    voucher["available"] -= amount
    name = world.new_voucher(
        programme, recipient, amount, voucher["expires_at"], voucher["year"], voucher["version"]
    )
    child = world.vouchers[name]
    child["parent"] = voucher["id"]
    child["minted"] = voucher["minted"]
    child["given_back"] = world.given_back(voucher)
    child["due"] = child["expires_at"] + child["given_back"]
    child["depth"] = voucher["depth"] + 1


def held_voucher(world: World, name: str, holder: str) -> Thing:
    """Return a voucher that this party holds (501)."""
    need(name in world.vouchers and world.vouchers[name]["holder"] == holder, 501)
    return world.vouchers[name]


def reserve(world: World, it: Thing) -> None:
    """T12."""
    holder, centre, amount = it["holder"], it["centre"], it["amount"]
    world.party(holder, "holder")
    world.party(centre, "data_centre")
    world.consent(holder)
    world.free(holder)
    world.active(centre)
    voucher = held_voucher(world, it["voucher"], holder)
    programme = voucher["programme"]
    world.not_held(
        ("party", holder),
        ("party", centre),
        ("centre", centre),
        ("programme", programme),
    )
    world.vouchers_not_held(voucher["id"])
    need(world.programmes[programme]["status"] != "suspended", 304)
    accredited_in_force(world, centre)
    terms = world.terms(programme, voucher["version"])
    need(world.accepts(programme, terms, centre), 402)
    need(world.devices(centre, it["chip"]) is not None, 403)
    need(world.rate(terms, holder, centre, it["chip"], it["service_class"]) is not None, 608)
    need(world.time < world.expiry(voucher), 503)
    need(amount <= voucher["available"], 502)
    least = world.next_parameters["reserve_min"]
    need(amount >= least or amount == voucher["available"], 521)
    need(world.time < it["until_ms"] <= world.expiry(voucher), 511)
    serial = 1 + len([one for one in world.reserves.values() if one["centre"] == centre])
    world.reserves[f"{centre}.{serial:09d}"] = {
        "voucher": voucher["id"],
        "centre": centre,
        "order": it["order"],
        "chip": it["chip"],
        "service_class": it["service_class"],
        "amount": amount,
        "left": amount,
        "until": it["until_ms"],
    }
    world.move(voucher, "available", "reserved", amount)


def accredited_in_force(world: World, centre: str) -> None:
    """Refuse a centre without an accreditation in force (401)."""
    need(world.accredited(centre), 401)


def release(world: World, it: Thing) -> None:
    """T13."""
    need(it["reserve"] in world.reserves, 512)
    found = world.reserves[it["reserve"]]
    voucher = world.vouchers[found["voucher"]]
    need(it["by"] in (found["centre"], voucher["holder"]), 513)
    if it["by"] == voucher["holder"]:
        world.consent(it["by"])
        world.free(it["by"])
        world.officers(world.acts(world.issuer(voucher["programme"])), "review")
        need(world.time >= world.put_off(found["until"]), 517)
    else:
        world.consent(world.settles(it["by"]))
    need(it["amount"] <= found["left"], 514)
    found["left"] -= it["amount"]
    world.give_back(voucher, "reserved", it["amount"])


def extend(world: World, it: Thing) -> None:
    """T16."""
    need(it["voucher"] in world.vouchers, 518)
    voucher = world.vouchers[it["voucher"]]
    world.officers(world.acts(world.issuer(voucher["programme"])), "review")
    need(world.time < world.expiry(voucher), 503)
    end = start_of(it["until_day"] + 1)
    need(world.expiry(voucher) < end <= start_of(day_of(world.time) + 3_660 + 1), 516)
    voucher["expires_at"] = voucher["due"] = end
    voucher["stopped"] = world.stopped(voucher["holder"])
    voucher["given_back"] = 0


def revoke(world: World, it: Thing) -> None:
    """T17."""
    need(it["voucher"] in world.vouchers, 518)
    voucher = world.vouchers[it["voucher"]]
    world.officers(world.acts(world.issuer(voucher["programme"])), "review", it["amount"])
    need(it["amount"] <= voucher["available"], 502)
    world.move(voucher, "available", "revoked", it["amount"])


# Claims


def redeem(world: World, it: Thing) -> None:
    """T9."""
    holder, centre = it["holder"], it["centre"]
    grant = only(it["grant"])
    lines: list[Thing] = []
    for voucher, amount, reserve_ in it["lines"]:
        lines.append({"voucher": voucher, "amount": amount, "reserve": only(reserve_)})
    joint = grant is not None or any(line["reserve"] is None for line in lines)
    tag, tag_epoch, net, base = it["invoice"]
    world.party(holder, "holder")
    world.party(centre, "data_centre")
    need((lines != []) != (grant is not None), 630)
    vouchers = [line["voucher"] for line in lines]
    need(all(vouchers.count(voucher) == 1 for voucher in vouchers), 407)
    world.consent(centre if joint else world.settles(centre))
    issuer = world.issuer(vouchers[0] if lines else grant[0])
    for party, _, _ in world.signers:
        need(party not in (issuer, world.actor(issuer)), 105)
        need(world.parties[party]["kind"] != "auditor", 105)
    need(not joint or it["holder_signs"], 102)
    if it["holder_signs"]:
        world.consent(holder)
        world.free(holder)
    if joint:
        world.active(centre)
    for line in lines:
        line_is_theirs(world, line, it)
    for line in lines:
        first, other = world.vouchers[vouchers[0]], world.vouchers[line["voucher"]]
        need(other["programme"] == first["programme"], 613)
        need(other["version"] == first["version"], 613)
    for line in lines:
        line_suffices(world, line)
    if grant is not None:
        programme, version, total = grant
        need(programme in world.programmes, 301)
        need(world.programmes[programme]["status"] == "open", 304)
        world.active(world.issuer(programme))
        world.in_force(programme, version)
        need(world.terms(programme)["grant"] == "after_use", 629)
    else:
        programme = world.vouchers[vouchers[0]]["programme"]
        version = world.vouchers[vouchers[0]]["version"]
        total = sum(line["amount"] for line in lines)
    terms = world.terms(programme, version)
    world.not_held(("party", holder), ("party", centre), ("centre", centre))
    world.not_held(("programme", programme))
    for voucher in vouchers:
        world.vouchers_not_held(voucher)
    if joint:
        need(world.programmes[programme]["status"] != "suspended", 304)
    need(centre in world.accreditations, 401)
    if joint:
        accredited_in_force(world, centre)
        need(world.accepts(programme, terms, centre), 402)
    world.unrelated(terms, holder, centre)
    if grant is not None:
        world.eligible(terms, holder)
    need(base <= net, 605)
    world.tag_epoch(tag_epoch)
    invoice = invoice_of(world, tag)
    if invoice is not None:
        invoice_may_be_claimed_again(world, invoice, it, programme, version)
    need(len(it["usage"]) > 0, 606)
    if invoice is None:
        usage_fits(world, centre, it["usage"])
    bp = rate_of_usage(world, terms, it)
    tariffs_allow(world, centre, it["usage"], base)
    contract_holds(world, terms, it, programme, total, base)
    need(total <= rounded(base * bp, 10_000, terms["rounding"]), 610)
    ceiling = terms["ceiling"] if invoice is None else min(terms["ceiling"], invoice["ceiling"])
    so_far = 0 if invoice is None else claimed_on(world, invoice)
    need(so_far + total <= base * ceiling // 10_000, 611)
    host = world.accreditations[centre]["host"]
    host_pays = world.host_pays(programme, terms, centre)
    period: Any = None
    if host_pays:
        period = world.period_in_force(programme, host)
        limit = period["limit"]
        used = used_of(world, programme, host, period["number"])
        need(limit is None or used + total <= limit, 409)
    if grant is not None:
        row_fits(world, programme, terms, holder, total, [])
        need(world.totals(programme)["face"] + total <= AMOUNT_MAX, 308)
    good = it["holder_signs"] and rules_accept(world, terms, programme, holder, centre, total)
    if good:
        redemptions_fit(world, terms, programme, holder, total)
    automatic = good and terms["review"][1] == 0

    if grant is not None:
        world.commit(programme, terms, total)
        granted = world.new_voucher(
            programme, holder, total, world.time, year_of(world.time), version
        )
        lines = [{"voucher": granted, "amount": total, "reserve": None}]
    serial = 1 + len([one for one in world.claims.values() if one["centre"] == centre])
    name = f"{centre}.{serial:09d}"
    contract = only(it["contract"])
    if contract is not None:
        world.contracts[contract[0]] = {
            "centre": centre,
            "holder": holder,
            "amount": contract[1],
            "start": contract[2],
            "end": contract[3],
        }
    if invoice is None:
        invoice = world.invoices[tag] = {
            "centre": centre,
            "holder": holder,
            "net": net,
            "base": base,
            "usage": it["usage"],
            "uses": [],
        }
    invoice["ceiling"] = ceiling
    invoice["uses"].append((programme, name))
    claim = world.claims[name] = {
        "id": name,
        "programme": programme,
        "version": version,
        "holder": holder,
        "centre": centre,
        "lines": lines,
        "invoice": tag,
        "base": base,
        "contract": None if contract is None else contract[0],
        "amount": total,
        "accepted": total if automatic else 0,
        "credited": 0,
        "notes": 0,
        "status": "accepted" if automatic else "to_be_drawn" if good else "under_review",
        "holder_signed": it["holder_signs"],
        "automatic": automatic,
        "host": host,
        "host_pays": host_pays,
        "period": period["number"] if host_pays else None,
        "submitted": world.time,
        "decided": world.time if automatic else None,
    }
    for line in lines:
        source = "available" if line["reserve"] is None else "reserved"
        if line["reserve"] is not None:
            world.reserves[line["reserve"]]["left"] -= line["amount"]
        target = "redeemed" if automatic else "claimed"
        world.move(world.vouchers[line["voucher"]], source, target, line["amount"])
    if automatic:
        owe(world, claim)


def line_is_theirs(world: World, line: Thing, it: Thing) -> None:
    """T9.7."""
    held_voucher(world, line["voucher"], it["holder"])
    if line["reserve"] is not None:
        need(line["reserve"] in world.reserves, 512)
        found = world.reserves[line["reserve"]]
        need(found["voucher"] == line["voucher"], 513)
        for field in ("centre", "order", "service_class"):
            need(found[field] == it[field], 513)
        for chip, _, _, _ in it["usage"]:
            need(found["chip"] == chip, 513)


def line_suffices(world: World, line: Thing) -> None:
    """T9.9."""
    if line["reserve"] is None:
        voucher = world.vouchers[line["voucher"]]
        need(world.time < world.expiry(voucher), 503)
        need(line["amount"] <= voucher["available"], 502)
    else:
        found = world.reserves[line["reserve"]]
        need(world.time < world.hold_over(found), 515)
        need(line["amount"] <= found["left"], 514)


def invoice_of(world: World, tag: bytes) -> Thing | None:
    """Return an invoice that has uses (R12.1)."""
    invoice = world.invoices.get(tag)
    return invoice if invoice is not None and invoice["uses"] else None


def invoice_may_be_claimed_again(
    world: World, invoice: Thing, it: Thing, programme: str, version: int
) -> None:
    """R12.1."""
    _, _, net, base = it["invoice"]
    need(invoice["centre"] == it["centre"] and invoice["holder"] == it["holder"], 614)
    need(invoice["net"] == net and invoice["base"] == base, 614)
    need(invoice["usage"] == it["usage"], 614)
    for other, _ in invoice["uses"]:
        need(other != programme, 604)
    for other, claim in invoice["uses"]:
        theirs = world.terms(other, world.claims[claim]["version"])
        need(programme in theirs["stackable"], 603)
        need(other in world.terms(programme, version)["stackable"], 603)


def outstanding(claim: Thing) -> int:
    """Return what a claim has pending or accepted, less its credits."""
    if claim["status"] in WAITING:
        return int(claim["amount"])
    return int(claim["accepted"] - claim["credited"])


def used_of(world: World, programme: str, host: str, period: int) -> int:
    """Return what the claims of a paying host's period have pending or accepted (R5.3)."""
    total = 0
    for claim in world.claims.values():
        if (claim["programme"], claim["host"], claim["period"]) == (programme, host, period):
            total += outstanding(claim)
    return total


def claimed_on(world: World, invoice: Thing) -> int:
    """Return what is pending and accepted on an invoice."""
    return sum(outstanding(world.claims[claim]) for _, claim in invoice["uses"])


def device_time(world: World, centre: str, chip: str, day: int) -> int:
    """Return the device time that invoices in use claim."""
    total = 0
    for invoice in world.invoices.values():
        if invoice["uses"] and invoice["centre"] == centre:
            for other_chip, other_day, gpu_ms, _ in invoice["usage"]:
                if (other_chip, other_day) == (chip, day):
                    total += gpu_ms
    return total


def usage_fits(world: World, centre: str, usage: Any) -> None:
    """T9.18."""
    for place, (chip, day, gpu_ms, energy_wh) in enumerate(usage):
        devices = world.devices(centre, chip)
        need(devices is not None, 403)
        assert devices is not None
        need(day <= day_of(world.time), 607)
        taken = device_time(world, centre, chip, day)
        for other_chip, other_day, other_ms, _ in usage[:place]:
            if (other_chip, other_day) == (chip, day):
                taken += other_ms
        need(gpu_ms <= devices["count"] * DAY_MS - taken, 404)
        need(energy_wh * HOUR_MS <= gpu_ms * devices["power"], 633)


def rate_of_usage(world: World, terms: Thing, it: Thing) -> int:
    """T9.19."""
    rates = []
    for chip, day, _, _ in it["usage"]:
        need(world.devices(it["centre"], chip) is not None, 403)
        need(day >= earliest_day(world, it), 632)
        rate = world.rate(terms, it["holder"], it["centre"], chip, it["service_class"])
        need(rate is not None, 608)
        assert rate is not None
        rates.append(rate)
    need(all(rate == rates[0] for rate in rates), 609)
    return rates[0]


def earliest_day(world: World, it: Thing) -> int:
    """R12.6."""
    days = [day_of(world.time) - 400, int(world.accreditations[it["centre"]]["since"])]
    for voucher, _, _ in it["lines"]:
        days.append(world.vouchers[voucher]["minted"])
    if it["grant"] and it["contract"]:
        days.append(it["contract"][0][2])
    return max(days)


def tariffs_allow(world: World, centre: str, usage: Any, base: int) -> None:
    """R12.2."""
    allowed = 0
    for chip, _, gpu_ms, _ in usage:
        devices = world.devices(centre, chip)
        assert devices is not None
        allowed += gpu_ms * devices["ceiling"]
    need(base <= allowed // HOUR_MS, 410)


def resting(world: World, tag: bytes) -> list[Thing]:
    """Return the claims that rest on a contract, of any programme (R12.3, R12.4)."""
    return [one for one in world.claims.values() if one["contract"] == tag and outstanding(one)]


def contract_holds(
    world: World, terms: Thing, it: Thing, programme: str, total: int, base: int
) -> None:
    """R12.3."""
    most = only(terms["caps"]["contract_max"])
    period = only(terms["base_period"])
    longest = terms["contract_days_max"]
    contract = only(it["contract"])
    if contract is None:
        need(terms["grant"] != "after_use" and most is None, 615)
        need(period is None and longest == 0, 615)
        return
    tag, amount, start, end = contract
    known = world.contracts.get(tag)
    if known is not None and resting(world, tag):
        need(known["centre"] == it["centre"] and known["holder"] == it["holder"], 616)
        need(known["amount"] == amount, 616)
        need(known["start"] == start and known["end"] == end, 616)
    need(start < end, 406)
    need(longest == 0 or end - start <= longest, 617)
    allowed = amount
    if period is not None:
        inside = max(0, min(end, period[1]) - max(start, period[0]))
        allowed = min(amount, rounded(amount * inside, end - start, terms["rounding"]))
    bases, sums = 0, 0
    for claim in resting(world, tag):
        if claim["programme"] == programme:
            bases += claim["base"]
            sums += outstanding(claim)
    need(bases + base <= allowed, 618)
    need(most is None or sums + total <= most, 619)


def rules_accept(
    world: World, terms: Thing, programme: str, holder: str, centre: str, total: int
) -> bool:
    """R6.2, but for the holder's word and the draw."""
    good = world.parties[centre]["status"] == "active"
    good = good and world.programmes[programme]["status"] != "suspended"
    good = good and world.accredited(centre)
    good = good and world.accepts(programme, terms, centre)
    used = band_used(world, world.issuer(programme), holder)
    return bool(good and used + total <= terms["review"][0])


def draw(world: World, claim: Thing) -> None:
    """R6.3."""
    claim["status"] = "under_review"
    programme, holder, amount = claim["programme"], claim["holder"], claim["amount"]
    terms = world.terms(programme, claim["version"])
    parts = [world.record_hash, claim["id"].encode()]
    draw = int.from_bytes(tagged_hash(b"tallystick/sample/v1", parts), "big")
    if draw % terms["review"][1] == 0:
        return
    if not rules_accept(world, terms, programme, holder, claim["centre"], amount):
        return
    try:
        redemptions_fit(world, terms, programme, holder, amount)
    except Refused:
        return
    claim["status"], claim["accepted"], claim["decided"] = "accepted", amount, world.time
    claim["automatic"] = True
    for line in claim["lines"]:
        world.move(world.vouchers[line["voucher"]], "claimed", "redeemed", line["amount"])
    owe(world, claim)


def band_used(world: World, issuer: str, holder: str) -> int:
    """Return what the rules accepted this month of an issuer's programmes."""
    total = 0
    for claim in world.claims.values():
        same = claim["automatic"] and month_of(claim["decided"]) == month_of(world.time)
        if same and (world.issuer(claim["programme"]), claim["holder"]) == (issuer, holder):
            total += claim["amount"]
    return total


def redeemed_in(world: World, programme: str, holder: str, year: int) -> int:
    """Return what a holder's decided claims of a year keep (R6.4)."""
    total = 0
    for claim in world.claims.values():
        if (claim["programme"], claim["holder"]) != (programme, holder):
            continue
        if claim["status"] == "accepted" and year_of(claim["decided"]) == year:
            total += outstanding(claim)
    return total


def redemptions_fit(world: World, terms: Thing, programme: str, holder: str, amount: int) -> None:
    """Refuse more redemptions of a year than the cap (612) or the range (308) allows."""
    total = redeemed_in(world, programme, holder, year_of(world.time)) + amount
    cap = only(terms["caps"]["holder_year_redeemed"])
    need(cap is None or total <= cap, 612)
    need(total <= AMOUNT_MAX, 308)


def review(world: World, it: Thing) -> None:
    """T14."""
    act, *fields = it["act"]
    if act == "decide":
        decide_claim(world, *fields)
    else:
        dispute(world, *fields)


def decide_claim(
    world: World, name: str, by: str, accepted: int, case: Any, tag_checked: bool
) -> None:
    """T14, decide."""
    need(name in world.claims, 620)
    claim = world.claims[name]
    programme = claim["programme"]
    terms = world.terms(programme, claim["version"])
    need(claim["status"] in OPEN_CLAIM, 621)
    issuer = world.issuer(programme)
    world.party(by)
    need(by == issuer or world.parties[by]["kind"] == "auditor", 203)
    world.consent(world.acts(by) if by == issuer else by, "review", accepted)
    if by != issuer:
        world.active(by)
        need(world.time >= world.put_off(claim["submitted"] + 90 * DAY_MS), 634)
    need(accepted <= claim["amount"], 626)
    if claim["status"] == "disputed":
        need(case != [], 625)
    if accepted > 0 and claim["status"] == "under_review" and not claim["holder_signed"]:
        need(world.time >= world.dispute_over(claim), 622)
    if accepted > 0:
        need(tag_checked, 627)
    if accepted > 0:
        redemptions_fit(world, terms, programme, claim["holder"], accepted)

    claim["accepted"] = accepted
    claim["status"] = "accepted" if accepted > 0 else "rejected"
    claim["decided"] = world.time
    for line, part in laid_over(claim["lines"], accepted):
        voucher = world.vouchers[line["voucher"]]
        world.move(voucher, "claimed", "redeemed", part)
        world.give_back_line(line, "claimed", line["amount"] - part)
    falls(world, claim)
    if accepted > 0:
        owe(world, claim)


def laid_over(lines: list[Thing], amount: int) -> list[tuple[Thing, int]]:
    """Lay an amount over lines in order."""
    parts = []
    for line in lines:
        part = min(line["amount"], amount)
        parts.append((line, part))
        amount -= part
    return parts


def falls(world: World, claim: Thing) -> None:
    """R12.4, but for the sums that are found by looking."""
    if outstanding(claim) == 0:
        world.invoices[claim["invoice"]]["uses"].remove((claim["programme"], claim["id"]))


def dispute(world: World, name: str, case: bytes) -> None:
    """T14, dispute."""
    need(name in world.claims, 620)
    claim = world.claims[name]
    need(claim["status"] == "under_review", 621)
    world.consent(claim["holder"])
    need(not claim["holder_signed"], 624)
    need(world.time < world.dispute_over(claim), 623)
    claim["status"] = "disputed"
    claim["case"] = case


def credit(world: World, it: Thing) -> None:
    """T15."""
    need(it["claim"] in world.claims, 620)
    claim, amount = world.claims[it["claim"]], it["amount"]
    need(claim["status"] == "accepted", 621)
    world.consent(world.settles(claim["centre"]))
    world.officers(world.acts(world.issuer(claim["programme"])), "review", amount)
    need(amount <= claim["accepted"] - claim["credited"], 628)
    need(claim["notes"] < 32, 631)
    before = laid_over(claim["lines"], outstanding(claim))
    claim["credited"] += amount
    claim["notes"] += 1
    after = laid_over(claim["lines"], outstanding(claim))
    for (line, was), (_, is_) in zip(before, after, strict=True):
        world.give_back_line(line, "redeemed", was - is_)
    falls(world, claim)
    for leg in ("benefit", "reimbursement"):
        credit_leg(world, claim, leg, amount)


# Payables


def owe(world: World, claim: Thing) -> None:
    """R7.1."""
    terms = world.terms(claim["programme"], claim["version"])
    payee = claim["holder"] if terms["payee"] == "holder" else claim["centre"]
    due = due_of(world.time, terms["settlement"])
    parts = [(funder, part) for funder, part in split(claim["accepted"], terms) if part > 0]
    if claim["host_pays"]:
        new_payable(world, claim["id"], "benefit", claim["host"], payee, claim["accepted"], due)
        for funder, part in parts:
            new_payable(world, claim["id"], "reimbursement", funder, claim["host"], part, due)
    else:
        for funder, part in parts:
            new_payable(world, claim["id"], "benefit", funder, payee, part, due)


def new_payable(
    world: World,
    cause: str,
    leg: str,
    debtor: str,
    creditor: str,
    amount: int,
    due: int,
    reverse: bool = False,
) -> Thing:
    """Add a payable at the next position of its cause."""
    position = len([one for one in world.payables.values() if one["cause"] == cause])
    payable: Thing = {
        "id": f"{cause}-{position:03d}",
        "cause": cause,
        "claim": "" if leg == "settlement" else cause,
        "leg": leg,
        "debtor": debtor,
        "creditor": creditor,
        "amount": amount,
        "due": due,
        "reverse": reverse,
        "cancelled": 0,
        "reversed": 0,
        "written_off": amount if debtor == creditor else 0,
        "cycle": world.cycle if leg == "settlement" else None,
    }
    world.payables[payable["id"]] = payable
    if through_cycles(payable):
        join_cycle(world, payable)
    return payable


def paid(world: World, payable: Thing) -> int:
    """Return what confirmed payments paid."""
    total = 0
    for payment in world.payments.values():
        arrived = payment["status"] in ("confirmed", "returning", "return_objected")
        if payment["payable"] == payable["id"] and arrived:
            total += payment["amount"]
    return total


def pending(world: World, payable: Thing) -> int:
    """Return what is on its way."""
    total = 0
    for payment in world.payments.values():
        if payment["payable"] == payable["id"] and payment["status"] in ("instructed", "objected"):
            total += payment["amount"]
    return total


def attempt(world: World, payable: Thing) -> int:
    """Return which attempt at paying is due: one after each payment that came back."""
    total = 1
    for payment in world.payments.values():
        if payment["payable"] == payable["id"] and payment["status"] == "returned":
            total += 1
    return total


def left_open(world: World, payable: Thing) -> int:
    """R7.3."""
    gone = payable["cancelled"] + paid(world, payable) + pending(world, payable)
    return int(payable["amount"] - gone - payable["written_off"])


def credit_leg(world: World, claim: Thing, leg: str, amount: int) -> None:
    """R7.2."""
    terms = world.terms(claim["programme"], claim["version"])
    originals = []
    for payable in world.payables.values():
        if payable["claim"] == claim["id"] and payable["leg"] == leg and not payable["reverse"]:
            originals.append(payable)
    if not originals:
        return
    parts = []
    for payable in originals:
        if leg == "benefit" and claim["host_pays"]:
            share = amount
        else:
            share = dict(split(amount, terms))[payable["debtor"]]
        parts.append(min(share, remains(payable)))
    left_over = amount - sum(parts)
    for place, payable in enumerate(originals):
        more = min(left_over, remains(payable) - parts[place])
        parts[place] += more
        left_over -= more
    assert left_over == 0
    due = due_of(world.time, terms["settlement"])
    for payable, part in zip(originals, parts, strict=True):
        if not through_cycles(payable):
            cancel = min(part, left_open(world, payable))
        elif payable["cycle"] is not None and payable["cycle"] != world.cycle:
            cancel = 0
        else:
            cancel = min(part, payable["amount"] - payable["cancelled"])
        forgiven = min(part - cancel, payable["written_off"])
        payable["written_off"] -= forgiven
        payable["cancelled"] += cancel + forgiven
        back = part - cancel - forgiven
        payable["reversed"] += back
        if back > 0:
            to, by = payable["debtor"], payable["creditor"]
            new_payable(world, claim["id"], leg, by, to, back, due, reverse=True)


def remains(payable: Thing) -> int:
    """Return what of an original was neither cancelled nor reversed."""
    return int(payable["amount"] - payable["cancelled"] - payable["reversed"])


# Settlement


def nets(world: World) -> dict[str, int]:
    """Return the net positions of the open cycle."""
    found: dict[str, int] = {}
    for payable in world.payables.values():
        if payable["leg"] == "reimbursement" and payable["cycle"] == world.cycle:
            amount = payable["amount"] - payable["cancelled"]
            found[payable["debtor"]] = found.get(payable["debtor"], 0) - amount
            found[payable["creditor"]] = found.get(payable["creditor"], 0) + amount
    return found


def close_cycle(world: World, it: Thing) -> None:
    """T18."""
    world.party(it["by"], "treasury", "data_centre", "auditor")
    world.consent(it["by"], "pay")
    world.active(it["by"])
    need(it["cycle"] == world.cycle, 710)
    need(world.cycle in world.first_joins, 709)
    need(world.time >= world.first_joins[world.cycle] + 24 * HOUR_MS, 711)
    net = nets(world)
    world.closed_nets[world.cycle] = dict(net)
    cause = f"clearing.{world.cycle:09d}"
    due = start_of(day_of(world.time) + 30 + 1)
    for debtor in sorted(net):
        for creditor in sorted(net):
            amount = min(-net[debtor], net[creditor])
            if amount > 0:
                new_payable(world, cause, "settlement", debtor, creditor, amount, due)
                net[debtor] += amount
                net[creditor] -= amount
    world.cycle += 1


def record_payment(world: World, it: Thing) -> None:
    """T19."""
    act, *fields = it["act"]
    acts: dict[str, Any] = {
        "instructed": instructed,
        "confirmed": confirmed,
        "returned": returned,
        "written_off": written_off,
        "objected": objected,
        "resolved": resolved,
    }
    acts[act](world, *fields)


def instructed(world: World, name: str, amount: int, end_to_end_id: str) -> None:
    """A debtor's bank was told to pay."""
    need(name in world.payables, 701)
    payable = world.payables[name]
    world.consent(world.settles(payable["debtor"]), "pay", amount)
    need(not through_cycles(payable), 702)
    world.not_held(("payable", name))
    if payable["claim"]:
        world.not_held(("claim", payable["claim"]))
    need((payable["debtor"], end_to_end_id) not in world.payments, 704)
    need(amount <= left_open(world, payable), 703)
    world.payments[payable["debtor"], end_to_end_id] = {
        "debtor": payable["debtor"],
        "payable": name,
        "amount": amount,
        "status": "instructed",
        "instructed": world.time,
        "attempt": attempt(world, payable),
    }


def confirmed(world: World, debtor: str, name: str, by: str) -> None:
    """A bank says that money arrived."""
    need((debtor, name) in world.payments, 705)
    payment = world.payments[debtor, name]
    payable = world.payables[payment["payable"]]
    need(by in (payable["creditor"], payable["debtor"]), 712)
    world.consent(world.settles(by), "bank")
    late = by == payable["creditor"] and payment["status"] == "objected"
    need(payment["status"] == "instructed" or late, 706)
    if by == payable["debtor"]:
        need(world.time >= world.objection_over(payment), 707)
    payment["status"] = "confirmed"


def returned(world: World, debtor: str, name: str, by: str, reason: str) -> None:
    """The money came back."""
    need((debtor, name) in world.payments, 705)
    payment = world.payments[debtor, name]
    payable = world.payables[payment["payable"]]
    need(by in (payable["creditor"], debtor), 712)
    world.consent(world.settles(by), "bank")
    need(payment["status"] != "returned", 706)
    need(by != debtor or payment["status"] != "return_objected", 706)
    if by == debtor and payment["status"] == "returning":
        need(world.time >= world.objection_over(payment), 707)
    payment["reason"] = reason
    if by == debtor and payment["status"] == "confirmed":
        payment["status"] = "returning"
        payment["returning_since"] = world.time
    else:
        payment["status"] = "returned"


def written_off(world: World, name: str, amount: int, reason: str) -> None:
    """Debtor and creditor let go of a debt."""
    need(name in world.payables, 701)
    payable = world.payables[name]
    world.consent(world.acts(payable["debtor"]), "pay", amount)
    world.consent(world.acts(payable["creditor"]), "pay", amount)
    need(not through_cycles(payable), 702)
    need(amount <= left_open(world, payable), 703)
    payable["written_off"] += amount
    payable["reason"] = reason


def objected(world: World, debtor: str, name: str, reason: str) -> None:
    """The creditor says that nothing arrived, or that nothing went back."""
    need((debtor, name) in world.payments, 705)
    payment = world.payments[debtor, name]
    world.consent(world.settles(world.payables[payment["payable"]]["creditor"]), "bank")
    need(payment["status"] in ("instructed", "returning"), 706)
    need(world.time < world.objection_over(payment), 708)
    payment["status"] = "objected" if payment["status"] == "instructed" else "return_objected"
    payment["reason"] = reason


def resolved(world: World, debtor: str, name: str, by: str, paid_: bool, case: bytes) -> None:
    """Somebody else ends an objection."""
    need((debtor, name) in world.payments, 705)
    payment = world.payments[debtor, name]
    world.party(by, "city", "auditor")
    sides = (debtor, world.payables[payment["payable"]]["creditor"])
    need(by not in (*sides, *(world.actor(side) for side in sides)), 713)
    world.consent(by, "review")
    world.active(by)
    need(payment["status"] in ("objected", *(() if paid_ else ("return_objected",))), 706)
    payment["status"] = "confirmed" if paid_ else "returned"
    payment["case"] = case
