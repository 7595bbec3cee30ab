// Checks answers of /v1/proofs/ as ICS23 existence proofs (spec V7), with somebody else's verifier.
//
//   node check.mjs FILE
//
// FILE has an answer in JSON a line. Each must be accepted, and refused after any one change.
// The counts are printed in JSON; the exit code is 1 if a verdict is wrong.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

// Packages are beside the folder that this runs in: nothing is installed into the source tree.
const { ics23, verifyMembership } = createRequire(`${process.cwd()}/`)("@confio/ics23");
const { HashOp, LengthOp } = ics23;

const LEAF = {
  hash: HashOp.SHA256,
  prehashKey: HashOp.SHA256,
  prehashValue: HashOp.SHA256,
  length: LengthOp.NO_PREFIX,
  prefix: Uint8Array.of(0),
};
const SPEC = {
  leafSpec: LEAF,
  innerSpec: {
    childOrder: [0, 1],
    childSize: 32,
    minPrefixLength: 1,
    maxPrefixLength: 1,
    emptyChild: new Uint8Array(32),
    hash: HashOp.SHA256,
  },
  maxDepth: 256,
};
const INNER = Uint8Array.of(1);
const NOTHING = new Uint8Array(0);

const bytes = (hex) => Uint8Array.from(Buffer.from(hex, "hex"));
const joined = (...parts) => Uint8Array.from(Buffer.concat(parts));

function sides(key, depth) {
  // The d-th sibling from the root stands on the left if bit d of the key's path is 1 (V6).
  const path = createHash("sha256").update(key).digest();
  return Array.from({ length: depth }, (_, d) => ((path[d >> 3] >> (7 - (d & 7))) & 1) === 1);
}

function caseOf(answer) {
  const key = Uint8Array.from(Buffer.from(answer.key, "ascii"));
  const siblings = answer.siblings.map(bytes);
  const isLeft = sides(key, siblings.length).reverse();
  const path = siblings.map((sibling, at) =>
    isLeft[at]
      ? { hash: HashOp.SHA256, prefix: joined(INNER, sibling), suffix: NOTHING }
      : { hash: HashOp.SHA256, prefix: INNER, suffix: sibling },
  );
  return { root: bytes(answer.state_root), key, value: bytes(answer.value), leaf: LEAF, path };
}

function isAccepted({ root, key, value, leaf, path }) {
  const proof = ics23.CommitmentProof.create({ exist: { key, value, leaf, path } });
  // Through the wire format, as a proof from a peer would come.
  const read = ics23.CommitmentProof.decode(ics23.CommitmentProof.encode(proof).finish());
  return verifyMembership(read, SPEC, root, key, value);
}

// Not random in any way that matters: the same changes at each run.
let state = 20265;
function below(limit) {
  state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
  return (state >>> 8) % limit;
}

function flipped(data) {
  const changed = Uint8Array.from(data);
  changed[below(changed.length)] ^= 1 << below(8);
  return changed;
}

function withStep(path, change) {
  const at = below(path.length);
  return path.map((step, index) => (index === at ? change(step) : step));
}

// A step's sibling moves to the other side.
function turned({ hash, prefix, suffix }) {
  return suffix.length
    ? { hash, prefix: joined(INNER, suffix), suffix: NOTHING }
    : { hash, prefix: INNER, suffix: prefix.slice(1) };
}

const CHANGES = {
  root: (one) => ({ ...one, root: flipped(one.root) }),
  key: (one) => ({ ...one, key: flipped(one.key) }),
  value: (one) => ({ ...one, value: flipped(one.value) }),
  sequence: (one) => ({ ...one, value: joined(flipped(one.value.slice(0, 8)), one.value.slice(8)) }),
  leaf_prefix: (one) => ({ ...one, leaf: { ...LEAF, prefix: flipped(LEAF.prefix) } }),
  leaf_hash: (one) => ({ ...one, leaf: { ...LEAF, prehashValue: HashOp.NO_HASH } }),
  prefix: (one) => ({
    ...one,
    path: withStep(one.path, (step) => ({ ...step, prefix: flipped(step.prefix) })),
  }),
  sibling: (one) => ({
    ...one,
    path: withStep(one.path, (step) =>
      step.suffix.length
        ? { ...step, suffix: flipped(step.suffix) }
        : { ...step, prefix: joined(INNER, flipped(step.prefix.slice(1))) },
    ),
  }),
  side: (one) => ({ ...one, path: withStep(one.path, turned) }),
  one_less: (one) => {
    const at = below(one.path.length);
    return { ...one, path: one.path.filter((_, index) => index !== at) };
  },
  one_more: (one) => {
    const more = { hash: HashOp.SHA256, prefix: INNER, suffix: new Uint8Array(32) };
    return { ...one, path: [more, ...one.path] };
  },
  order: (one) => ({ ...one, path: [...one.path.slice(1), one.path[0]] }),
  // What is proven of one key is offered for another.
  other: (one, next) => ({ ...one, key: next.key, value: next.value }),
  other_path: (one, next) => ({ ...one, path: next.path }),
};

const lines = readFileSync(process.argv[2], "utf8").trimEnd().split("\n");
const cases = lines.map((line) => caseOf(JSON.parse(line)));
const counts = { accepted: 0, refused: 0, kinds_of_change: Object.keys(CHANGES).length };
const wrong = [];
cases.forEach((one, index) => {
  const next = cases[(index + 1) % cases.length];
  const name = Buffer.from(one.key).toString();
  if (isAccepted(one)) counts.accepted += 1;
  else wrong.push(`${name} is refused`);
  for (const [kind, change] of Object.entries(CHANGES)) {
    if (isAccepted(change(one, next))) wrong.push(`${name} is accepted with another ${kind}`);
    else counts.refused += 1;
  }
});
console.log(JSON.stringify(counts));
for (const sentence of wrong) console.error(sentence);
process.exitCode = wrong.length ? 1 : 0;
