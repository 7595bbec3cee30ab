// Command strangers checks what a network publishes with libraries that others wrote:
// golang.org/x/mod (sumdb/note, sumdb/tlog), github.com/transparency-dev/formats and
// filippo.io/torchwood.
//
//	strangers FOLDER
//
// FOLDER has the policy, nodes.json, heads and receipts. Entries and tiles are read from the nodes.
// Whatever is true must be accepted, and refused after any one change. The counts are printed in
// JSON; the first wrong verdict ends it with exit code 1.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/torchwood"
	fnote "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	quorum         = 3 // of four cosigners
	flippedTiles   = 250
	sampledRecords = 250
	// Receipts of which every byte is changed; of the others one thing of each kind is.
	flippedReceipts = 4
	fileBytesMax    = 32 << 20
	answerWithin    = 30 * time.Second
)

var (
	counts = map[string]int{}
	dice   = rand.New(rand.NewSource(20265))
)

func fail(format string, parts ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", parts...)
	os.Exit(1)
}

func must(err error, what string) {
	if err != nil {
		fail("%s: %v", what, err)
	}
}

// expect counts a verdict that is the right one.
func expect(isRight bool, count, what string) {
	if !isRight {
		fail("wrong verdict (%s): %s", count, what)
	}
	counts[count]++
}

func read(parts ...string) []byte {
	data, err := os.ReadFile(filepath.Join(parts...))
	must(err, "reading")
	return data
}

func names(folder string) []string {
	entries, err := os.ReadDir(folder)
	must(err, "reading")
	found := []string{}
	for _, entry := range entries {
		found = append(found, entry.Name())
	}
	return found
}

// Policy.

type trust struct {
	lines []string
	logs  []note.Verifier // sumdb/note
	// The same cosigners, as two libraries understand them.
	formats, torchwood []note.Verifier
}

func readPolicy(data []byte) *trust {
	t := &trust{lines: strings.Split(string(data), "\n")}
	for _, line := range t.lines {
		words := strings.Fields(line)
		switch {
		case len(words) > 1 && words[0] == "log":
			key, err := note.NewVerifier(words[1])
			must(err, "sumdb/note reads a log key")
			t.logs = append(t.logs, key)
		case len(words) > 2 && words[0] == "witness":
			one, err := fnote.NewVerifierForCosignatureV1(words[2])
			must(err, "formats reads a cosigner's key")
			other, err := torchwood.NewCosignatureVerifier(words[2])
			must(err, "torchwood reads a cosigner's key")
			t.formats, t.torchwood = append(t.formats, one), append(t.torchwood, other)
		}
	}
	return t
}

// forLog returns torchwood's policy with one log key: it wants the signatures of all it is told of.
func (t *trust) forLog(key note.Verifier) torchwood.Policy {
	kept := []string{}
	for _, line := range t.lines {
		words := strings.Fields(line)
		if len(words) > 1 && words[0] == "log" {
			if v, err := note.NewVerifier(words[1]); err != nil || v.KeyHash() != key.KeyHash() {
				continue
			}
		}
		kept = append(kept, line)
	}
	policy, err := torchwood.ParsePolicy([]byte(strings.Join(kept, "\n")))
	must(err, "torchwood reads the policy")
	return policy
}

// Heads.

func opened(message []byte, keys ...note.Verifier) *note.Note {
	n, err := note.Open(message, note.VerifierList(keys...))
	if err != nil {
		return nil
	}
	return n
}

// whole returns a head of which every line verifies: one of a log key, enough of cosigners.
func (t *trust) whole(message []byte, cosigners []note.Verifier) *note.Note {
	n := opened(message, append(append([]note.Verifier{}, t.logs...), cosigners...)...)
	if n == nil || len(n.UnverifiedSigs) > 0 || len(n.Sigs) < 1+quorum {
		return nil
	}
	logs := 0
	for _, line := range n.Sigs {
		for _, key := range t.logs {
			if line.Name == key.Name() && line.Hash == key.KeyHash() {
				logs++
			}
		}
	}
	if logs != 1 {
		return nil
	}
	return n
}

func (t *trust) logKey(n *note.Note) note.Verifier {
	for _, key := range t.logs {
		for _, line := range n.Sigs {
			if line.Hash == key.KeyHash() && line.Name == key.Name() {
				return key
			}
		}
	}
	fail("a head without a log key")
	return nil
}

func treeOf(n *note.Note) tlog.Tree {
	c, err := torchwood.ParseCheckpoint(n.Text)
	must(err, "torchwood reads a checkpoint")
	return c.Tree
}

// isSame tells whether notes differ in bits of base64 alone that stand for nothing.
func isSame(one, other []byte) bool {
	plain := func(message []byte) string {
		text, lines, _ := strings.Cut(string(message), "\n\n")
		read := []string{text}
		for _, line := range strings.Split(lines, "\n") {
			at := strings.LastIndex(line, " ") + 1
			data, err := base64.StdEncoding.DecodeString(line[at:])
			if err != nil {
				return string(message)
			}
			read = append(read, line[:at], string(data))
		}
		return strings.Join(read, "\n")
	}
	return plain(one) == plain(other)
}

func flipped(data []byte, at int) []byte {
	changed := bytes.Clone(data)
	changed[at] ^= byte(1 + dice.Intn(255))
	return changed
}

// partOf names what stands at a byte of a head: the log's line is the first of the signatures.
func partOf(message []byte, at int) string {
	first := bytes.Index(message, []byte("\n\n")) + 2
	switch {
	case at < first:
		return "text"
	case at <= first+bytes.IndexByte(message[first:], '\n'):
		return "log_signature"
	}
	return "cosignature"
}

func (t *trust) checkHead(message []byte, name string) *note.Note {
	n := t.whole(message, t.formats)
	expect(n != nil, "heads", name)
	for _, cosigners := range [][]note.Verifier{t.formats, t.torchwood} {
		expect(t.whole(message, cosigners) != nil, "heads_by_a_library", name)
	}
	key := t.logKey(n)
	expect(len(opened(message, key).Sigs) == 1, "log_signatures", name)
	for i := range t.formats {
		for _, one := range []note.Verifier{t.formats[i], t.torchwood[i]} {
			alone := opened(message, one)
			if alone == nil {
				counts["cosignatures_missing"]++
				continue
			}
			expect(len(alone.Sigs) == 1, "cosignatures", name)
		}
	}
	_, _, err := torchwood.VerifyCheckpoint(message, t.forLog(key))
	expect(err == nil, "heads_under_the_policy", name)
	for at := range message {
		changed := flipped(message, at)
		if isSame(message, changed) {
			counts["idle_bits"]++
			continue
		}
		what := fmt.Sprintf("%s with byte %d changed to %d", name, at, changed[at])
		isRefused := t.whole(changed, t.formats) == nil && t.whole(changed, t.torchwood) == nil
		expect(isRefused, "refused_"+partOf(message, at), what)
	}
	return n
}

// Tiles and entries.

type node struct {
	Name, URL string
	cache     map[string][]byte
}

func (n *node) get(path string) ([]byte, error) {
	if data, ok := n.cache[path]; ok {
		return data, nil
	}
	client := http.Client{Timeout: answerWithin}
	for {
		answer, err := client.Get(n.URL + "/log/" + path)
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(io.LimitReader(answer.Body, fileBytesMax))
		answer.Body.Close()
		if answer.StatusCode == http.StatusTooManyRequests {
			time.Sleep(time.Second) // as it is asked to
			continue
		}
		if answer.StatusCode != http.StatusOK || err != nil {
			return nil, fmt.Errorf("%s: %s %v", path, answer.Status, err)
		}
		n.cache[path] = data
		return data, nil
	}
}

// tiles reads a node's tiles; with alter, one byte of one of them is another.
type tiles struct {
	from  *node
	alter bool
}

func (t tiles) Height() int                     { return torchwood.TileHeight }
func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}
func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	found := [][]byte{}
	for _, one := range wanted {
		data, err := t.from.get(torchwood.TilePath(one))
		if err != nil {
			return nil, err
		}
		found = append(found, data)
	}
	if t.alter {
		at := dice.Intn(len(found))
		found[at] = flipped(found[at], dice.Intn(len(found[at])))
	}
	return found, nil
}

func (n *node) entry(index int64, tree tlog.Tree) []byte {
	tile := tlog.Tile{H: torchwood.TileHeight, L: -1, N: index >> 8, W: torchwood.TileWidth}
	tile.W = int(min(int64(tile.W), tree.N-tile.N<<8))
	rest, err := n.get(torchwood.TilePath(tile))
	must(err, "an entry bundle")
	var entry []byte
	for range index&255 + 1 {
		entry, rest, err = torchwood.ReadTileEntry(rest)
		must(err, "torchwood reads a bundle")
	}
	return entry
}

func (n *node) check(tree tlog.Tree) {
	honest := tlog.TileHashReader(tree, tiles{from: n})
	root, err := tlog.TreeHash(tree.N, honest)
	expect(err == nil && root == tree.Hash, "roots_from_tiles", n.Name)
	for range sampledRecords {
		index := dice.Int63n(tree.N)
		path, err := tlog.ProveRecord(tree.N, index, honest)
		must(err, "tiles prove a record")
		hash := tlog.RecordHash(n.entry(index, tree))
		err = tlog.CheckRecord(path, tree.N, tree.Hash, index, hash)
		expect(err == nil, "records_from_tiles", n.Name)
	}
	for range flippedTiles {
		reader := tlog.TileHashReader(tree, tiles{from: n, alter: true})
		_, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, dice.Int63n(tree.N))})
		expect(err != nil, "refused_tiles", n.Name)
	}
}

func checkGrowth(before, after tlog.Tree, from *node) {
	proof, err := tlog.ProveTree(after.N, before.N, tlog.TileHashReader(after, tiles{from: from}))
	must(err, "tiles prove a tree")
	holds := func(p tlog.TreeProof, old tlog.Tree, hash tlog.Hash) bool {
		return tlog.CheckTree(p, after.N, hash, old.N, old.Hash) == nil
	}
	expect(holds(proof, before, after.Hash), "consistent_pairs", from.Name)
	for at := range proof {
		changed := append(tlog.TreeProof{}, proof...)
		changed[at][dice.Intn(len(tlog.Hash{}))] ^= byte(1 + dice.Intn(255))
		expect(!holds(changed, before, after.Hash), "refused_consistency", "another hash")
		shorter := append(append(tlog.TreeProof{}, proof[:at]...), proof[at+1:]...)
		expect(!holds(shorter, before, after.Hash), "refused_consistency", "a hash less")
	}
	other := before
	other.Hash[0] ^= 1
	expect(!holds(proof, other, after.Hash), "refused_consistency", "another old root")
	expect(!holds(proof, before, other.Hash), "refused_consistency", "another new root")
	other = tlog.Tree{N: before.N - 1, Hash: before.Hash}
	expect(!holds(proof, other, after.Hash), "refused_consistency", "another old size")
}

// Receipts.

// holds tells whether both libraries find an entry proven; its extra data must be the entry.
func (t *trust) holds(data, entry []byte) (bySumdb, byTorchwood bool) {
	var p proof.TLogProof
	if p.Unmarshal(data) != nil || !bytes.Equal(p.ExtraData, entry) {
		return false, false
	}
	n := t.whole(p.Checkpoint, t.formats)
	if n == nil {
		return false, false
	}
	tree, path := treeOf(n), tlog.RecordProof{}
	for _, hash := range p.Hashes {
		path = append(path, hash)
	}
	hash := tlog.RecordHash(entry)
	bySumdb = tlog.CheckRecord(path, tree.N, tree.Hash, int64(p.Index), hash) == nil
	byTorchwood = torchwood.VerifyProof(t.forLog(t.logKey(n)), hash, data) == nil
	return bySumdb, byTorchwood
}

func (t *trust) isRefused(data, entry []byte) bool {
	bySumdb, byTorchwood := t.holds(data, entry)
	return !bySumdb && !byTorchwood
}

func (t *trust) checkReceipt(data []byte, from *node, older []byte, everyByte bool) {
	var p proof.TLogProof
	must(p.Unmarshal(data), "formats reads a receipt")
	n := t.whole(p.Checkpoint, t.torchwood)
	expect(n != nil, "receipts_cosigned", "a receipt's head")
	counts["receipts_cosignatures"] += len(n.Sigs) - 1
	entry := from.entry(int64(p.Index), treeOf(n))
	bySumdb, byTorchwood := t.holds(data, entry)
	expect(bySumdb, "receipts_by_sumdb", "a receipt")
	expect(byTorchwood, "receipts_by_torchwood", "a receipt")

	changed := p
	changed.Index ^= 1
	expect(t.isRefused(changed.Marshal(), entry), "refused_receipts", "another index")
	changed = p
	changed.Hashes = append(changed.Hashes[:0:0], p.Hashes...)
	changed.Hashes[dice.Intn(len(p.Hashes))][0] ^= 1
	expect(t.isRefused(changed.Marshal(), entry), "refused_receipts", "another hash")
	changed = p
	changed.Hashes = p.Hashes[1:]
	expect(t.isRefused(changed.Marshal(), entry), "refused_receipts", "a hash less")
	changed = p
	changed.ExtraData = flipped(entry, dice.Intn(len(entry)))
	isRefused := t.isRefused(changed.Marshal(), changed.ExtraData)
	expect(isRefused, "refused_receipts", "another entry")
	changed = p
	changed.Checkpoint = older
	expect(t.isRefused(changed.Marshal(), entry), "refused_receipts", "another head")
	if everyByte {
		t.flipReceipt(data, entry, p)
	}
}

func (t *trust) flipReceipt(data, entry []byte, p proof.TLogProof) {
	for at := range data {
		changed := flipped(data, at)
		var q proof.TLogProof
		if q.Unmarshal(changed) == nil && q.Index == p.Index &&
			bytes.Equal(q.ExtraData, p.ExtraData) &&
			fmt.Sprint(q.Hashes) == fmt.Sprint(p.Hashes) &&
			isSame(q.Checkpoint, p.Checkpoint) {
			counts["idle_bits"]++
			continue
		}
		what := fmt.Sprintf("byte %d changed to %d", at, changed[at])
		expect(t.isRefused(changed, entry), "refused_receipt_bytes", what)
	}
}

func main() {
	folder := os.Args[1]
	t := readPolicy(read(folder, "policy"))
	counts["log_keys"], counts["cosigners"] = len(t.logs), len(t.formats)
	var nodes []*node
	must(json.Unmarshal(read(folder, "nodes.json"), &nodes), "nodes.json")
	trees := map[string]tlog.Tree{}
	for _, one := range nodes {
		one.cache = map[string][]byte{}
		for _, age := range []string{"before", "after"} {
			name := age + "-" + one.Name
			trees[name] = treeOf(t.checkHead(read(folder, "heads", name), name))
		}
	}
	for _, one := range nodes {
		one.check(trees["after-"+one.Name])
		for _, other := range nodes {
			checkGrowth(trees["before-"+other.Name], trees["after-"+one.Name], one)
		}
	}
	older := read(folder, "heads", "before-"+nodes[0].Name)
	for i, name := range names(filepath.Join(folder, "receipts")) {
		from := nodes[i%len(nodes)]
		t.checkReceipt(read(folder, "receipts", name), from, older, i < flippedReceipts)
	}
	data, err := json.Marshal(counts)
	must(err, "counts")
	fmt.Println(string(data))
}
