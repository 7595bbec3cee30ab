"""The naive twin's parties, programmes, centres, cases and governance (docs/spec/kinds.md)."""

from typing import Any

from tests.reference.twin_world import (
    AMOUNT_MAX,
    CAPS,
    DAY_MS,
    FORTNIGHT_MS,
    HOUR_MS,
    MEMBER,
    PARAMETERS,
    TERMS,
    Thing,
    World,
    day_of,
    named,
    need,
    only,
    packed,
    tagged_hash,
    through_cycles,
)

MEMBERS = ("treasury", "data_centre", "auditor")


def enrol(world: World, it: Thing) -> None:
    """T1."""
    world.party(it["city"], "city")
    world.officers(it["city"], "registrar")
    world.active(it["city"])
    need(it["party"] not in world.parties and it["party"] != "clearing", 202)
    world.tag_epoch(it["tag_epoch"])
    for party in world.parties.values():
        need(party["tag"] != it["registration_tag"], 206)
    world.keys_fit(it["party"], "holder", it["keys"], it["threshold"], it["proofs"])
    world.parties[it["party"]] = {
        "id": it["party"],
        "kind": "holder",
        "class": it["holder_class"],
        "name": it["name"],
        "region": it["region"],
        "group": list(it["control_group"]),
        "tag": it["registration_tag"],
        "keys": [],
        "threshold": it["threshold"],
        "status": "active",
        "enrolled_by": it["city"],
        "successor": None,
        "stopped": 0,
    }
    world.give_keys(it["party"], it["keys"], it["threshold"])


def find_attestation(world: World, it: Thing) -> Thing | None:
    """Return what an attester said of a subject, a topic and somebody else."""
    for said in world.attestations:
        same = said["attester"] == it["attester"] and said["subject"] == it["subject"]
        if same and said["topic"] == it["topic"] and said["about"] == only(it["about"]):
            return said
    return None


def attest(world: World, it: Thing) -> None:
    """T2."""
    world.party(it["attester"], *MEMBERS)
    world.consent(it["attester"], "registrar")
    world.active(it["attester"])
    world.party(it["subject"])
    if it["about"]:
        world.party(it["about"][0])
    need(it["valid_until_ms"] > world.time, 208)
    older = find_attestation(world, it)
    if older is not None:
        world.attestations.remove(older)
    world.attestations.append(
        {
            "attester": it["attester"],
            "subject": it["subject"],
            "topic": it["topic"],
            "about": only(it["about"]),
            "text": it["text"],
            "amount": it["amount"],
            "issued": world.time,
            "valid_until": it["valid_until_ms"],
            "revoked": False,
        }
    )


def revoke_attestation(world: World, it: Thing) -> None:
    """T11."""
    world.party(it["attester"])
    world.consent(world.acts(it["attester"]), "registrar")
    said = find_attestation(world, it)
    need(said is not None and not said["revoked"], 211)
    assert said is not None
    said["revoked"] = True


# T10


def set_keys(world: World, it: Thing) -> None:
    """T10."""
    act, *fields = it["act"]
    acts: dict[str, Any] = {
        "rotate": rotate,
        "announce": announce,
        "recover": recover,
        "object": object_,
        "decide": decide,
    }
    acts[act](world, *fields)


def rotate(world: World, name: str, keys: Any, threshold: int, proofs: Any) -> None:
    """A party changes its own keys."""
    party = world.party(name)
    world.consent(name, "registrar")
    world.active(name)
    world.free(name)
    world.keys_fit(name, party["kind"], keys, threshold, proofs)
    if party["kind"] == "treasury":
        for role in world.roles_changed(name, keys, threshold):
            world.officers(name, role)
    elif party["kind"] != "holder":
        named_ = {world.keys[key]["person"] for key in party["keys"]}
        signed = {person for whose, person, _ in world.signers if whose == name}
        need(len(named_) < 2 or len(signed) >= 2, 106)
    world.give_keys(name, keys, threshold)


def waiting(world: World, keys: Any, threshold: int) -> Thing:
    """Return new keys that wait for their decision."""
    return {
        "ended": None,
        "accepted": False,
        "opened": world.time,
        "objected": False,
        "keys": keys,
        "threshold": threshold,
    }


def announce(world: World, name: str, keys: Any, threshold: int, proofs: Any) -> None:
    """A member announces a key change."""
    party = world.party(name, *MEMBERS)
    world.consent(name, "registrar")
    world.active(name)
    need(world.open_key_change(name) is None, 220)
    world.keys_fit(name, party["kind"], keys, threshold, proofs)
    world.announce([key for key, _, _ in keys], name)
    world.key_changes[name] = waiting(world, keys, threshold)


def recover(
    world: World, city: str, name: str, keys: Any, threshold: int, proofs: Any, _: Any, second_: Any
) -> None:
    """A city opens a recovery."""
    world.party(city, "city")
    party = world.party(name, "holder")
    need(party["enrolled_by"] == city, 216)
    world.officers(world.acts(city), "registrar")
    world.free(name)
    last, second = world.recoveries.get(name), only(second_)
    if last is not None and not last["accepted"]:
        by_itself = last["opened"] + FORTNIGHT_MS
        end = by_itself if last["ended"] is None else last["ended"]
        need(world.time >= end + FORTNIGHT_MS, 219)
        need(second is not None, 215)
    if second is not None:
        world.second_opinion(second, city)
    world.keys_fit(name, "holder", keys, threshold, proofs)
    party["stopped"] = world.stopped(name)
    world.announce([key for key, _, _ in keys], name)
    world.recoveries[name] = waiting(world, keys, threshold)


def object_(world: World, name: str, by: str) -> None:
    """A key of the party objects, or an auditor."""
    world.party(name)
    recovery, change = world.open_recovery(name), world.open_key_change(name)
    need(recovery is not None or change is not None, 213)
    if by == name:
        world.active(name)
        need(name not in world.took_back, 107)
        need(world.signatures(name) >= 1, 102)
        world.consented.append(name)
    else:
        need(change is not None, 221)
        world.party(by, "auditor")
        world.active(by)
        world.consent(by)
    for one in (recovery, change):
        if one is not None:
            one["objected"] = True


def decide(world: World, by: str, name: str, accept: bool, second_: Any) -> None:
    """New keys come into force or are given up."""
    second = only(second_)
    party = world.party(name)
    recovery, change = world.open_recovery(name), world.open_key_change(name)
    new = recovery or change
    need(new is not None, 213)
    assert new is not None
    if recovery is not None:
        need(party["enrolled_by"] == by, 216)
    else:
        need(by == name, 221)
    if second is not None:
        world.second_opinion(second, by)
    if not (new["objected"] and not accept and second is not None):
        if change is not None:
            world.active(name)
        world.consent(world.acts(by), "registrar")
    if accept and new["objected"]:
        need(second is not None, 215)
    if accept:
        need(world.time >= new["opened"] + 72 * HOUR_MS, 214)
        world.keys_still_fit(name, party["kind"], new["keys"], new["threshold"])
    if recovery is not None:
        party["stopped"] = world.stopped(name)
    new["ended"] = world.time
    new["accepted"] = accept
    if accept:
        world.give_keys(name, new["keys"], new["threshold"])


# Programmes and centres


def consistent(terms: Thing) -> bool:
    """T3.7."""
    funders = [funder for funder, _ in terms["funders"]]
    if any(funders.count(funder) > 1 for funder in funders):
        return False
    if terms["residual_funder"] not in funders:
        return False
    if sum(bp for _, bp in terms["funders"]) != 10_000:
        return False
    if terms["grant"] == "after_use" and terms["transfer"] != "none":
        return False
    low, high = only(terms["caps"]["grant_min"]), only(terms["caps"]["grant_max"])
    if low is not None and high is not None and low > high:
        return False
    if sum(len(group) for group in terms["eligibility"]) > 16:
        return False
    for group in terms["eligibility"]:
        for _, _, _, attesters, _ in group:
            if len(attesters) > 16:
                return False
    if terms["listed"] and terms["centres"] != "listed":
        return False
    period = only(terms["base_period"])
    return period is None or period[0] < period[1]


def publish(world: World, it: Thing) -> None:
    """T3."""
    issuer = world.issuer(it["programme"])
    world.party(issuer, "city")
    world.officers(issuer, "budget")
    world.active(issuer)
    known = world.programmes.get(it["programme"])
    need(known is None or known["status"] != "closed", 304)
    terms = named(TERMS, it["terms"])
    terms["caps"] = named(CAPS, terms["caps"])
    if known is None:
        need(it["version"] == 1, 302)
    else:
        last = max(known["terms"])
        if it["version"] != last + 1:
            need(it["version"] == (known["version"] or known["proposed"]), 302)
            need(terms == known["terms"][it["version"]], 311)
    need(consistent(terms), 303)
    for funder, _ in terms["funders"]:
        world.party(funder, "treasury")
    if known is None:
        known = {"terms": {}, "hashes": {}, "consents": {}, "version": 0, "proposed": None}
        world.programmes[it["programme"]] = known
    known["status"] = it["status"]
    if it["version"] not in known["terms"]:
        known["terms"][it["version"]] = terms
        known["hashes"][it["version"]] = tagged_hash(b"tallystick/terms/v1", [packed(it["terms"])])
        known["proposed"] = it["version"]
        world.comes_into_force(it["programme"])


def consent_to_terms(world: World, it: Thing) -> None:
    """T25."""
    programme, version, funder = it["programme"], it["version"], it["funder"]
    need(programme in world.programmes, 301)
    known = world.programmes[programme]
    need(version == known["proposed"], 312)
    need(funder in [name for name, _ in known["terms"][version]["funders"]], 305)
    world.officers(funder, "budget")
    world.active(funder)
    need(it["terms"] == known["hashes"][version], 313)
    known["consents"][version, funder] = world.time
    world.comes_into_force(programme)


def appropriate(world: World, it: Thing) -> None:
    """T4."""
    programme, year, funder, delta = it["programme"], it["year"], it["funder"], it["delta"]
    need(programme in world.programmes, 301)
    takes_back = delta < 0 and not it["carried_from"]
    need(takes_back or funder in world.funders(programme), 305)
    world.party(funder)
    world.officers(world.acts(funder) if takes_back else funder, "budget", abs(delta))
    if not takes_back:
        world.active(funder)
    budgets = world.appropriated
    if it["carried_from"]:
        earlier = it["carried_from"][0]
        need(earlier < year and delta > 0, 309)
        left = budgets.get((programme, earlier, funder), 0) - delta
        need(left >= world.committed(programme, earlier, funder), 307)
    new = budgets.get((programme, year, funder), 0) + delta
    need(new >= world.committed(programme, year, funder), 307)
    need(new <= AMOUNT_MAX, 308)
    budgets[programme, year, funder] = new
    if it["carried_from"]:
        budgets[programme, it["carried_from"][0], funder] -= delta


def accredit(world: World, it: Thing) -> None:
    """T5."""
    world.party(it["host"], "city")
    world.officers(it["host"], "registrar")
    world.active(it["host"])
    world.party(it["centre"], "data_centre")
    former = world.accreditations.get(it["centre"])
    if former is not None and former["host"] != it["host"]:
        need(world.signatures(it["centre"]) >= world.parties[it["centre"]]["threshold"], 408)
        world.active(it["centre"])
    chips = [chip for chip, _, _, _, _ in it["devices"]]
    need(all(chips.count(chip) == 1 for chip in chips), 407)
    world.accreditations[it["centre"]] = {
        "host": it["host"],
        "devices": it["devices"],
        "ownership": it["ownership"],
        "ended": it["ended"],
        "since": day_of(world.time) if former is None else former["since"],
    }


def recognise(world: World, it: Thing) -> None:
    """T6."""
    programmes, hosts = it["programmes"], it["hosts"]
    world.party(it["issuer"], "city")
    world.officers(it["issuer"], "registrar")
    world.active(it["issuer"])
    need(it["from_ms"] < it["until_ms"], 406)
    need(all(programmes.count(programme) == 1 for programme in programmes), 407)
    need(all(hosts.count(host) == 1 for host in hosts), 407)
    for host in hosts:
        world.party(host, "city")
        if it["mode"] == "host_pays":
            world.officers(host, "registrar")
            world.active(host)
    for programme in programmes:
        need(world.issuer(programme) == it["issuer"], 310)
        need(programme in world.programmes, 301)
        for host in hosts:
            period_fits(world, it, world.recognitions.get((programme, host), []))
    for programme in programmes:
        for host in hosts:
            periods = world.recognitions.setdefault((programme, host), [])
            changed = period_meant(world, it, periods)
            if changed is None:
                changed = {"number": len(periods) + 1, "from": it["from_ms"]}
                periods.append(changed)
            changed["mode"] = it["mode"]
            changed["limit"] = only(it["limit"])
            changed["until"] = it["until_ms"]


def period_meant(world: World, it: Thing, periods: list[Thing]) -> Thing | None:
    """Return the period that a statement changes (R5.3)."""
    for period in periods:
        if it["from_ms"] <= world.time:
            if period["from"] <= world.time < period["until"]:
                return period
        elif period["from"] == it["from_ms"]:
            return period
    return None


def period_fits(world: World, it: Thing, periods: list[Thing]) -> None:
    """T6.8, for one pair."""
    changed = period_meant(world, it, periods)
    start = it["from_ms"] if changed is None else changed["from"]
    others = 0
    for period in periods:
        if period is not changed and period["until"] > world.time:
            others += 1
            need(period["until"] <= start or it["until_ms"] <= period["from"], 412)
    need(others + 1 <= 4, 411)


# Cases


def thing_exists(world: World, scope: str, name: str) -> bool:
    """T20.4."""
    return (
        name
        in {
            "party": world.parties,
            "centre": world.accreditations,
            "programme": world.programmes,
            "voucher": world.vouchers,
            "claim": world.claims,
            "payable": world.payables,
        }[scope]
    )


def concerned(world: World, scope: str, name: str) -> str:
    """Return the city whose business a thing is (T20.6), or nothing."""
    if scope == "party":
        return str(world.parties[name]["enrolled_by"])
    if scope == "centre":
        return str(world.accreditations[name]["host"])
    if scope == "programme":
        return world.issuer(name)
    if scope == "voucher":
        return world.issuer(world.vouchers[name]["programme"])
    if scope == "payable":
        name = world.payables[name]["claim"]
    return world.issuer(world.claims[name]["programme"]) if name else ""


def own_cause(world: World, by: str, scope: str, name: str) -> bool:
    """R10.7."""
    sides = [name] if scope == "party" else []
    for payable in world.payables.values():
        if (scope, name) in (("payable", payable["id"]), ("claim", payable["claim"])):
            sides += [payable["debtor"], payable["creditor"]]
    return by in [world.actor(side) for side in sides]


def touched_payables(world: World, scope: str, name: str) -> list[Thing]:
    """Return the payables in cycles that a hold on this thing is about (R13.2)."""
    found = []
    for payable in world.payables.values():
        mine = (scope, name) in (("payable", payable["id"]), ("claim", payable["claim"]))
        if mine and through_cycles(payable):
            found.append(payable)
    return found


def set_hold(world: World, it: Thing) -> None:
    """T20."""
    by = world.party(it["by"], "city", "auditor")
    world.consent(it["by"], "review")
    world.active(it["by"])
    need(thing_exists(world, it["scope"], it["id"]), 904)
    need(not own_cause(world, it["by"], it["scope"], it["id"]), 910)
    if by["kind"] != "auditor":
        city = concerned(world, it["scope"], it["id"])
        need(city != "" and world.actor(city) == it["by"], 905)
    on_it = [
        one for one in world.holds.values() if (one["scope"], one["id"]) == (it["scope"], it["id"])
    ]
    need(not any(one["barred"] and one["by"] == it["by"] for one in on_it), 909)
    need(len([one for one in on_it if one["open"] and one["by"] == it["by"]]) < 4, 907)
    need(world.holds_on(it["scope"], it["id"]) < 256, 907)
    serial = 1 + len([hold for hold in world.holds.values() if hold["by"] == it["by"]])
    world.holds[f"{it['by']}.{serial:09d}"] = {
        "by": it["by"],
        "scope": it["scope"],
        "id": it["id"],
        "open": True,
        "barred": False,
    }
    for payable in touched_payables(world, it["scope"], it["id"]):
        if payable["cycle"] == world.cycle:
            payable["cycle"] = None


def clear_hold(world: World, it: Thing) -> None:
    """T21."""
    need(it["hold"] in world.holds, 901)
    hold = world.holds[it["hold"]]
    need(hold["open"], 902)
    by = world.party(it["by"], "city", "auditor")
    world.active(it["by"])
    theirs = world.actor(hold["by"]) == it["by"]
    need(theirs or by["kind"] == "auditor", 903)
    if hold["by"] != it["by"]:
        need(not own_cause(world, it["by"], hold["scope"], hold["id"]), 910)
    world.consent(it["by"], "review")
    hold["open"] = False
    hold["barred"] = not theirs
    for payable in touched_payables(world, hold["scope"], hold["id"]):
        if payable["cycle"] is None:
            join_cycle(world, payable)


def join_cycle(world: World, payable: Thing) -> None:
    """Put a payable into the open cycle unless it or its claim is held (R13.1, R13.2)."""
    if world.holds_on("payable", payable["id"]) or world.holds_on("claim", payable["claim"]):
        return
    payable["cycle"] = world.cycle
    world.first_joins.setdefault(world.cycle, world.time)


def anchor(world: World, it: Thing) -> None:
    """T22."""
    world.party(it["by"], *MEMBERS)
    world.consent(it["by"], "registrar")
    world.active(it["by"])
    need(it["as_of"] < world.height, 908)
    serial = 1 + len([anchor for anchor in world.anchors if anchor["by"] == it["by"]])
    world.anchors.append({"id": f"{it['by']}.{serial:09d}", **it})


def withdraw(world: World, it: Thing) -> None:
    """T26."""
    world.party(it["party"])
    need(it["party"] not in world.took_back, 107)
    need(world.signatures(it["party"]) >= 1, 102)
    world.consented.append(it["party"])
    world.withdrawn.append((it["transaction"], it["party"]))


# Governance


def propose(world: World, it: Thing) -> None:
    """T23."""
    world.party(it["proposer"], "treasury", "data_centre")
    world.consent(it["proposer"], "registrar")
    world.active(it["proposer"])
    mine = [one for one in world.proposals if one["proposer"] == it["proposer"]]
    need(len([one for one in mine if is_open(world, one)]) < 4, 807)
    action_holds(world, *it["action"])
    proposal: Thing = {
        "number": len(world.proposals) + 1,
        "proposer": it["proposer"],
        "action": it["action"],
        "closes": world.time + 14 * DAY_MS,
        "adopted": False,
        "votes": {it["proposer"]: True},
    }
    world.proposals.append(proposal)
    world.announce(*keys_named(*it["action"]))
    if is_adopted(world, proposal):
        adopt(world, proposal)


def vote(world: World, it: Thing) -> None:
    """T24."""
    world.party(it["voter"], "treasury", "data_centre")
    world.consent(it["voter"], "registrar")
    world.active(it["voter"])
    found = [proposal for proposal in world.proposals if proposal["number"] == it["proposal"]]
    need(found != [], 801)
    proposal = found[0]
    need(is_open(world, proposal), 802)
    need(it["voter"] not in proposal["votes"], 803)
    with_it = {**proposal, "votes": {**proposal["votes"], it["voter"]: it["approve"]}}
    adopts = it["approve"] and is_adopted(world, with_it)
    if adopts:
        action_holds(world, *proposal["action"])
    proposal["votes"][it["voter"]] = it["approve"]
    if adopts:
        adopt(world, proposal)


def is_open(world: World, proposal: Thing) -> bool:
    """Say whether members can vote on a proposal."""
    return not proposal["adopted"] and bool(world.time < proposal["closes"])


def is_adopted(world: World, proposal: Thing) -> bool:
    """R14.1."""
    cities, cities_for, members, members_for = 0, 0, 0, 0
    for party in world.parties.values():
        if party["status"] != "active" or party["kind"] not in ("treasury", "data_centre"):
            continue
        approves = proposal["votes"].get(party["id"], False)
        members += 1
        members_for += approves
        if world.sort_of(party) == "city":
            cities += 1
            cities_for += approves
    return 3 * cities_for > 2 * cities and 3 * members_for > 2 * members


def keys_named(action: str, *fields: Any) -> tuple[list[bytes], str]:
    """Return the keys that an action names, and for whom (R3.6)."""
    if action == "admit":
        member = named(MEMBER, fields[0])
        keys = [key for key, _, _ in member["keys"]]
        if member["validator"]:
            keys += member["validator"][0][:4]
        return keys, member["id"]
    if action == "validator":
        return list(fields[1][0][:4]) if fields[1] else [], fields[0]
    if action == "keys":
        return [key for key, _, _ in fields[1]], fields[0]
    return [], ""


def nobodys(world: World, keys: list[bytes], party: str, proofs: Any) -> None:
    """Refuse keys that are taken (204), not registrable (205) or, after that, not proven (218).

    Not taken are those of the party as a validator, and those announced for it.
    """
    for place, key in enumerate(keys):
        need(key not in keys[:place], 204)
        owner = world.keys.get(key)
        if owner is not None:
            need(owner["validator"] and owner["party"] == party, 204)
        world.not_announced(key, party)
        need(world.registrable(key), 205)
    world.proven(party, keys, proofs)


def member_fits(world: World, member: Thing) -> bool:
    """G3, but for what the ledger asks of keys."""
    if not 1 <= member["threshold"] <= len(member["keys"]):
        return False
    is_city = member["kind"] == "treasury" and member["class"] == "city"
    if member["validator"] and not is_city and member["kind"] != "data_centre":
        return False
    if member["kind"] == "treasury":
        return member["class"] in ("city", "province", "district") and world.roles_fit(
            member["keys"]
        )
    return member["class"] == "" and all(not roles for _, _, roles in member["keys"])


def action_holds(world: World, action: str, *fields: Any) -> None:
    """R14.2, the second column."""
    if action == "admit":
        member = named(MEMBER, fields[0])
        need(member["id"] not in world.parties and member["id"] != "clearing", 202)
        need(member_fits(world, member), 805)
        nobodys(world, *keys_named(action, *fields), fields[1])
        need(len(world.validators) + len(member["validator"]) <= 128, 805)
    elif action == "status":
        name, status, successor_ = fields
        successor = only(successor_)
        party = world.party(name, *MEMBERS)
        need(party["status"] != "removed" or status == "removed", 805)
        need(party["status"] != status or party["successor"] != successor, 805)
        if successor is None:
            need(not (party["kind"] == "treasury" and status == "removed"), 805)
        else:
            other_party = world.party(successor)
            need(status != "active" and successor != name, 805)
            same = [other_party[what] == party[what] for what in ("kind", "class")]
            need(all(same) and other_party["status"] == "active", 805)
        if status != "active":
            need([other for other in world.validators if other != name] != [], 805)
    elif action == "validator":
        name, validator_, proofs = fields
        world.party(name, "city", "data_centre")
        world.active(name)
        others = len([other for other in world.validators if other != name])
        nobodys(world, *keys_named(action, *fields), proofs)
        need(1 <= others + len(validator_) <= 128, 805)
    elif action == "keys":
        name, keys, threshold, proofs = fields
        party = world.party(name, *MEMBERS)
        world.keys_fit(name, party["kind"], keys, threshold, proofs)
    elif action == "parameters":
        new = named(PARAMETERS, fields[0])
        need(new["block_bytes_max"] >= 65_536, 805)
        need(new["block_rows_max"] >= 1_000, 805)
        need(new["expiry_ahead_max_ms"] >= 60_000, 805)
        need(new["heartbeat_ms"] >= 1_000, 805)
        for who in ("holder", "member"):
            need(new[f"{who}_daily_entries"] >= 100, 805)
            need(new[f"{who}_daily_bytes"] >= 60_000, 805)
        for kind, _, _ in new["officers"]:
            need(not kind.startswith("governance."), 805)
        epochs = [epoch for epoch, _ in new["tag_keys"]]
        known = world.next_parameters["tag_keys"]
        need(epochs == sorted(set(epochs)), 805)
        need(epochs[-1] >= known[-1][0], 805)
        for row in new["tag_keys"]:
            need(row[0] > known[-1][0] or row in known, 805)
    elif action == "rules_version":
        version, from_height = fields
        need(version > world.rules_version[0], 805)
        need(from_height > world.height + 2 and from_height > world.rules_version[1], 805)
    elif action == "engine.switch":
        engine, at_height = fields
        need(engine in ("builtin", "comet"), 805)
        need(at_height > world.height + 2 and at_height > world.engine_height, 805)
    elif action == "pause":
        need(not world.paused, 805)
    elif action == "resume":
        need(world.paused, 805)
    else:
        raise AssertionError(action)


def adopt(world: World, proposal: Thing) -> None:
    """R14.2, the third column."""
    proposal["adopted"] = True
    action, *fields = proposal["action"]
    if action == "admit":
        world.add_member(fields[0])
    elif action == "status":
        name, status, successor_ = fields
        world.parties[name]["status"] = status
        world.parties[name]["successor"] = only(successor_)
        if status != "active":
            world.validators.pop(name, None)
    elif action == "validator":
        name, validator_, _ = fields
        world.validators.pop(name, None)
        if validator_:
            world.give_validator(name, validator_[0])
    elif action == "keys":
        world.give_keys(*fields[:3])
    elif action == "parameters":
        world.next_parameters = named(PARAMETERS, fields[0])
    elif action == "rules_version":
        world.rules_version = (fields[0], fields[1])
    elif action == "engine.switch":
        world.engine_height = fields[1]
    elif action == "pause":
        world.paused = True
        world.paused_since = world.time
    elif action == "resume":
        world.paused = False
        if world.paused_since >= world.quiet_until:
            world.quiet_from = world.paused_since
        world.quiet_until = world.time + 72 * HOUR_MS
