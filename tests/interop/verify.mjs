// Verifies passports and receipts of p2pverify against a network's definition, as the pages in protocol/ say.
// It shares no code with the package, and needs Node.js alone. `node verify.mjs < JOBS` reads a JSON array of objects
// with a `kind` of JOBS, below, and writes an array of {found, reason}: what each shows, or why it is refused.
import { createHash, createPublicKey, verify as opensslVerify } from "node:crypto";
import { readFileSync } from "node:fs";
class Refused extends Error {} class Malformed extends Refused {}
const need = (holds, reason, Kind = Refused) => { if (!holds) throw new Kind(reason); };
const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest();
const form = (holds, reason) => need(holds, reason, Malformed), digest = (value) => sha256(encode(value));
const hex = (data) => data.toString("hex"), unhex = (digits) => Buffer.from(digits, "hex");

// ---- encoding.md: canonical CBOR. Integers become BigInt, byte strings Buffer. None of these files has a map.
function decode(data, sizeMax, depthMax = 16) {
  form(data.length <= sizeMax, "too long");
  const from = { data, at: 0 }, value = read(from, depthMax);
  form(from.at === data.length, "trailing bytes");
  form(encode(value).equals(data), "not the one encoding of a value");
  return value;
}
function read(from, depth) {
  const [first] = take(from, 1), major = first >> 5;
  form(major < 6 || (first >= 0xf4 && first <= 0xf6), "a tag, a float, or an unknown simple value");
  if (major > 6) return [false, true, null][first - 0xf4];
  const number = readArgument(from, first & 31);
  if (major < 2) return major ? -1n - number : number;
  if (major === 2) return take(from, number);
  if (major === 3) return take(from, number).toString(); // it is written again, so wrong UTF-8 is found
  form(depth > 0, "too deep");
  form(major === 4, "a map");
  form(number <= from.data.length - from.at, "truncated"); // before memory is reserved
  return Array.from({ length: Number(number) }, () => read(from, depth - 1));
}
function take(from, size) {
  form(BigInt(size) <= from.data.length - from.at, "truncated");
  from.at += Number(size);
  return from.data.subarray(from.at - Number(size), from.at);
}
function readArgument(from, info) {
  if (info < 24) return BigInt(info);
  form(info <= 27, info === 31 ? "indefinite length" : "reserved initial byte");
  const size = 1 << (info - 24), number = BigInt(`0x${hex(take(from, size))}`);
  form(number >= (size === 1 ? 24n : 1n << BigInt(4 * size)), "not in shortest form");
  return number;
}
function encode(value) {
  if (value === null || typeof value === "boolean") return Buffer.from([value === null ? 0xf6 : 0xf4 + value]);
  if (typeof value === "number") return encode(BigInt(value));
  if (typeof value === "bigint") return value < 0n ? head(1, -1n - value) : head(0, value);
  if (typeof value === "string") return Buffer.concat([head(3, Buffer.byteLength(value)), Buffer.from(value)]);
  if (Buffer.isBuffer(value)) return Buffer.concat([head(2, value.length), value]);
  return Buffer.concat([head(4, value.length), ...value.map(encode)]);
}
function head(major, argument) {
  const number = BigInt(argument);
  if (number < 24n) return Buffer.from([(major << 5) | Number(number)]);
  const power = [8n, 16n, 32n, 64n].findIndex((bits) => number < 1n << bits);
  const digits = number.toString(16).padStart(2 << power, "0");
  return Buffer.concat([Buffer.from([(major << 5) | (24 + power)]), unhex(digits)]);
}

// ---- Forms: each is a function that returns a decoded value, or refuses it. Integers become numbers if they fit.
const uint = (name, maximum = (1n << 63n) - 1n) => (value) => {
  form(typeof value === "bigint" && value >= 0n, `${name}: not an unsigned integer`);
  form(value <= maximum, `${name}: above ${maximum}`);
  return value <= Number.MAX_SAFE_INTEGER ? Number(value) : value; // above it stays a BigInt, which is encoded alike
};
const bytes = (name, size = 32) => (value) => {
  form(Buffer.isBuffer(value), `${name}: not a byte string`);
  form(size === null || value.length === size, `${name}: not ${size} bytes`);
  return value;
};
const text = (name, sizeMax) => (value) => {
  form(typeof value === "string", `${name}: not text`);
  form(Buffer.byteLength(value) <= sizeMax, `${name}: longer than ${sizeMax} bytes`);
  return value;
};
const list = (name, item, lengthMax = Infinity, compare = () => -1) => (value) => {
  form(Array.isArray(value), `${name}: not an array`);
  form(value.length <= lengthMax, `${name}: more than ${lengthMax} items`);
  const found = value.map(item), isSorted = found.every((each, at) => at === 0 || compare(found[at - 1], each) < 0);
  form(isSorted, `${name} are not sorted and distinct`);
  return found;
};
const tuple = (name, ...items) => (value) => {
  form(Array.isArray(value), `${name}: not an array`);
  form(value.length === items.length, `${name}: not ${items.length} items`);
  return items.map((item, at) => item(value[at]));
};
const constant = (wanted, reason = `not a ${wanted}`) => (value) => form(value === wanted, reason) ?? value;
const FLAG = (value) => form(typeof value === "boolean", "behind: not a boolean") ?? value;
const any = (value) => value, EPOCH = 2 ** 40, CONTEXT = 131072, REQUEST_BYTES_MAX = 1024 + 5 * CONTEXT;
const tokens = (name) => list(name, uint("token", 2 ** 31 - 1), CONTEXT);
const byName = ([one], [other]) => Buffer.compare(Buffer.from(one), Buffer.from(other));
const MERKLE = (name) => tuple(name, uint(`${name} count`), bytes(`${name} root`));
const HEAD = [constant("p2pverify/view/2"), bytes("network"), uint("epoch", EPOCH), uint("index"), bytes("beacon"),
  bytes("ledger root"), bytes("weighted"), MERKLE("scores"), MERKLE("disputes"),
  list("counters", tuple("counter", text("counter", 64), uint("count")), 128, byName)];
const VIEW = (value) => tuple("view", ...HEAD, ...(value?.length > HEAD.length ? [MERKLE("lines")] : []))(value);
const CUT = tuple("cut", bytes("author"), uint("seq", EPOCH), bytes("prev"), bytes("base"), bytes("VRF key"),
  bytes("VRF proof", 80), bytes("heads"), bytes("state root"));
const STUB = tuple("signature", uint("place", 511), uint("epoch", EPOCH), uint("seq", EPOCH), bytes("prev"),
  bytes("signature", 64));
const PASSPORT = tuple("passport", constant("p2pverify/passport/1"), VIEW, bytes("row", null), uint("position"),
  list("path", bytes("path"), 40), CUT, list("weighted", bytes("key"), 512, Buffer.compare),
  list("signatures", STUB, 512, ([one], [other]) => one - other));
const REQUEST = tuple("request",
  tuple("request header", constant("p2pverify/request/1", "not a request"), bytes("network"), bytes("requester"),
    bytes("responder"), bytes("question"), bytes("nonce"), uint("expiry epoch")),
  tuple("question", constant("p2pverify/question/1", "not a question"), bytes("manifest"), tokens("prompt"),
    uint("tokens_max", CONTEXT), uint("temperature_milli", 2000), bytes("seed", 16), bytes("requester")),
  bytes("signature", 64));
const MS = (name) => uint(name, 2 ** 32), RECEIPT = tuple("receipt", uint("class", 31), bytes("salted digest"),
  uint("token count", CONTEXT), tuple("timings", MS("queue_ms"), MS("first_token_ms"), MS("total_ms")),
  bytes("receipt signature", 64));
const ANSWER = tuple("response", any, tokens("tokens"), text("finish", 8), bytes("logits digest"), RECEIPT);
const REFUSAL = tuple("response", any, text("code", 64), text("detail", 512));

// ---- encoding.md: signatures, Merkle paths; libp2p: peer ids
const P = 2n ** 255n - 19n, ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;
const mod = (number) => ((number % P) + P) % P, little = (data) => BigInt(`0x${hex(Buffer.from(data).reverse())}`);
const power = (base, exponent) =>
  exponent === 0n ? 1n : mod(power(mod(base * base), exponent >> 1n) * (exponent & 1n ? base : 1n));
const D = mod(-121665n * power(121666n, P - 2n));
/** The point of a key in extended coordinates (RFC 8032 sections 5.1.3 and 5.1.4), or null. */
function point(key) {
  const sign = BigInt(key[31] >> 7), y = little(key) & (2n ** 255n - 1n);
  const square = mod((y * y - 1n) * power(mod(D * y * y + 1n), P - 2n));
  let x = power(square, (P + 3n) / 8n);
  if (mod(x * x - square) !== 0n) x = mod(x * power(2n, (P - 1n) / 4n));
  if (y >= P || mod(x * x - square) !== 0n || (x === 0n && sign)) return null;
  if ((x & 1n) !== sign) x = P - x;
  return [x, y, 1n, mod(x * y)];
}
function add([x1, y1, z1, t1], [x2, y2, z2, t2]) {
  const a = (y1 - x1) * (y2 - x2), b = (y1 + x1) * (y2 + x2), c = 2n * D * t1 * t2, d = 2n * z1 * z2;
  const [e, f, g, h] = [b - a, d - c, d + c, b + a].map(mod);
  return [mod(e * f), mod(g * h), mod(f * g), mod(e * h)];
}
const known = new Map(), NEUTRAL = [0n, 1n, 1n, 0n], isNeutral = ([x, y, z]) => x === 0n && y === z;
const times = (base, factor) =>
  factor === 0n ? NEUTRAL : add(times(add(base, base), factor >> 1n), factor & 1n ? base : NEUTRAL);
function isPrimeOrder(key) {
  const found = point(key);
  return found !== null && !isNeutral(found) && isNeutral(times(found, ORDER));
}
/** OpenSSL compares R with the result. This has prime order as the key has, so only the identity is left to refuse. */
function isSigned(key, message, signature) {
  if (key.length !== 32 || signature.length !== 64 || little(signature.subarray(32)) >= ORDER) return false;
  if (little(signature.subarray(0, 32)) === 1n) return false;
  if (!known.has(hex(key))) known.set(hex(key), isPrimeOrder(key));
  const from = { key: Buffer.concat([unhex("302a300506032b6570032100"), key]), format: "der", type: "spki" };
  return known.get(hex(key)) && opensslVerify(null, message, createPublicKey(from), signature);
}
function isIncluded(leaf, position, number, path, root) {
  let node = sha256("\x00", leaf), index = BigInt(position), count = BigInt(number), used = 0;
  if (index >= count) return false;
  for (; count > 1n; index /= 2n, count = (count + 1n) / 2n) {
    if (index % 2n === 0n && index + 1n === count) continue;
    if (used === path.length) return false;
    const sibling = path[used++];
    node = index % 2n ? sha256("\x01", sibling, node) : sha256("\x01", node, sibling);
  }
  return used === path.length && node.equals(root);
}
const DIGITS = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const base58 = (number) => (number === 0n ? "" : base58(number / 58n) + DIGITS[number % 58n]);
const peerId = (key) => `1${base58(BigInt(`0x002408011220${hex(key)}`))}`; // the first byte is 00

// ---- network.md, passport.md
function readNetwork(data) {
  const [domain, , founders, manifests, classes, , , , lines = []] = list("network", any, 9)(decode(data, 32768));
  constant("p2pverify/network/2")(domain);
  const has = (digests, wanted) => digests.some((each) => each.equals(wanted)), genesis = lines.map((line) => line[1]);
  const runs = ([, own], model) => own.equals(model) || (has(genesis, own) && !has(manifests, model));
  return { id: sha256(data), founders: founders[0] === "origin" ? [] : founders.map(hex), classes, runs };
}
function checkPassport(network, data) {
  const [, view, row, position, path, [author, seq, prev, ...cut], weighted, stubs] = PASSPORT(decode(data, 131072, 5));
  form(stubs.every(([place]) => place < weighted.length), "a signature of no key with weight");
  const [, of, epoch, index, , ledger, weightedDigest, [count, root]] = view;
  need(of.equals(network.id), "it is of another network");
  need(isIncluded(row, position, count, path, root), "the row is not in the view");
  need(digest(weighted).equals(weightedDigest), "the keys are not those with weight in the view");
  const signed = stubs.length, all = weighted.length;
  need(all && 3 * signed >= 2 * all, `${signed} of ${all} peers with weight signed: fewer than two thirds`);
  const id = digest(["p2pverify/1", of, author, epoch, seq, prev, 9,
    digest([epoch, ...cut.slice(0, 4), ledger, digest(view), cut[4]])]);
  for (const [place, epochSigned, seqSigned, before, signature] of stubs) {
    const header = ["p2pverify/1", of, weighted[place], epochSigned, seqSigned, before, 10, digest([id])];
    need(isSigned(weighted[place], encode(header), signature), "a signature does not hold");
  }
  const founders = stubs.filter(([place]) => network.founders.includes(hex(weighted[place]))).length;
  return { ...readRow(row), cut_id: hex(id), epoch, index, signed, weighted: all, founders_signed: founders,
    founders: network.founders.length };
}
const COUNTS = tuple("counts", ...Array(5).fill(uint("count"))), VERSION = tuple("version", bytes("manifest"), FLAG);
function readRow(data) {
  const row = list("row", any)(decode(data, 61440, 4));
  form(row.length >= 18, "row: too few items");
  const [manifest, is_behind] = (row[18] ?? null) === null ? [] : VERSION(row[18]);
  const [times, since, next] = list("handed over", any, 3)(row[17]);
  const [low_ppm, high_ppm, agreements, dissents, inconclusive] = COUNTS(list("counts", any)(row[8]).slice(0, 5));
  return { peer: hex(bytes("peer")(row[0])), class_index: uint("class")(row[1]), standing: text("standing", 32)(row[5]),
    weight: uint("weight", 1)(row[6]), low_ppm, high_ppm, agreements, dissents, inconclusive,
    conviction: text("conviction", 256)(row[14]), contested_by: list("contested by", bytes("peer"))(row[15]).map(hex),
    handed: [uint("handovers")(times), uint("epoch")(since) - 1, next && hex(bytes("moves to")(next))],
    ...(manifest && { manifest: hex(manifest), is_behind }) };
}

// ---- request.md, client-receipt.md
function readRequest(data) {
  const [header, asked, signature] = REQUEST(decode(data, REQUEST_BYTES_MAX));
  const [, network, requester, responder, question] = header, [, manifest, prompt, most, temperature, seed] = asked;
  const fits = prompt.length > 0 && prompt.length + most <= CONTEXT;
  form(fits, `prompt and answer are not of 1 to ${CONTEXT} tokens together`);
  const isOf = digest(asked).equals(question) && asked[6].equals(requester);
  form(isOf, "the question is not the one that the request names");
  need(isSigned(requester, encode(header), signature), "the requester did not sign this request");
  return { id: digest(header), network, requester, responder, question, manifest, prompt, most, temperature, seed };
}
function readResponse(data, { id, network, responder, question }) {
  const top = list("response", any)(decode(data, REQUEST_BYTES_MAX));
  if (top.length === 3 && top[0] === "error") need(false, REFUSAL(top).slice(1).join(": "));
  form(top.length === 5 && top[0] === "ok", "not a response");
  const [, words, finish, logits, [place, salted, count, times, signature]] = ANSWER(top);
  form(finish === "stop" || finish === "length", "unknown finish");
  form(count === words.length, "the receipt counts other tokens");
  const output = digest(["p2pverify/output/2", question, words, finish, logits]);
  const salt = digest(["p2pverify/answer/1", id, responder, place, output]);
  form(salt.equals(salted), "the receipt is for another answer");
  const said = encode(["p2pverify/receipt/1", network, responder, id, place, salted, count, times]);
  form(isSigned(responder, said, signature), "the receipt's signature does not hold");
  return { place, words, finish, logits, count, times };
}
const isWhole = Number.isInteger, isCount = (value) => isWhole(value) && value >= 0;
const isText = (value) => typeof value === "string", isFlag = (value) => typeof value === "boolean";
const isRatio = (value) => typeof value === "number" && value >= 0 && value <= 1;
const isOne = (...words) => (value) => words.includes(value);
const isMaybe = (holds) => (value) => value === null || holds(value);
const isList = (holds) => (value) => Array.isArray(value) && value.every(holds);
const isObject = (...fields) => (value) => fields.every(([holds, names]) =>
  names.split(" ").every((name) => Object.hasOwn(value ?? {}, name) && holds(value[name])));
const isEvent = isObject([isCount, "at_ms index"], [isText, "peer_id detail"],
  [isOne("asked", "failed", "answered", "compared", "checked"), "event"]);
const isQuestion = isObject([isText, "id manifest seed requester"], [isCount, "tokens_max temperature_milli"],
  [isList(isWhole), "prompt"]);
const isAnswer = isObject([isText, "peer_id class cut logits text request response"], [isMaybe(isText), "passport"],
  [isCount, "index audits receipt_token_count queue_ms first_token_ms total_ms elapsed_ms"], [isRatio, "low high"],
  [isOne(null, "newcomer", "probation", "trusted", "suspect", "convicted", "gone"), "standing"],
  [isFlag, "own returned"], [isWhole, "cut_epoch"], [isQuestion, "question"], [isList(isWhole), "tokens"],
  [isList(isText), "checked"], [isOne("stop", "length"), "finish"],
  [isOne(null, "agrees", "differs", "not compared"), "compared"]);
const isCheck = isObject([isCount, "index panel answers agree differ not_compared"], [isFlag, "majority"]);
const isCost = isObject([isText, "unit"], [isCount, "price answers total"]);
const isReceipt = isObject([isOne("p2pverify/client-receipt/1"), "schema"], [isOne("answered", "failed"), "state"],
  [isText, "id network model endpoint"], [isCount, "created_ms panel every"], [isMaybe(isCount), "finished_ms"],
  [isList(isAnswer), "answers"], [isList(isEvent), "events"], [isList(isCheck), "checks"]);
const readHex = (digits) => need(/^([0-9a-f]{2})*$/.test(digits), "its bytes are not in hex") ?? unhex(digits);
function checkReceipt(network, data) {
  const receipt = attempt(() => JSON.parse(data), SyntaxError, () => null);
  form(data.length <= 2 ** 26 && isReceipt(receipt) && isMaybe(isCost)(receipt.cost ?? null), "no receipt");
  form(receipt.answers.length > 0, "no receipt");
  need(receipt.network === hex(network.id), "it is of another network");
  return receipt.answers.map((shown) => named(`answer ${shown.index}: `, Refused, () => checkAnswer(network, shown)));
}
function checkAnswer(network, shown) {
  const [sent, received] = [shown.request, shown.response].map(readHex);
  const passport = shown.passport === null ? null : readHex(shown.passport);
  const asked = named("the request does not hold: ", Refused, () => readRequest(sent));
  need(asked.network.equals(network.id), "it is of another network");
  const answer = named("the response does not hold: ", Refused, () => readResponse(received, asked));
  const own = network.classes[answer.place], runs = own && network.runs(own, asked.manifest);
  need(runs, "the receipt is of a class that does not run the model asked for");
  const facts = named("the passport does not hold: ", Malformed, () => passport && checkPassport(network, passport));
  need(!facts || facts.peer === hex(asked.responder), "the passport is of another peer");
  const { question } = shown, [wait, first, whole] = answer.times, model = hex(asked.manifest);
  for (const [what, one, other] of [
    ["the peer", shown.peer_id, peerId(asked.responder)], ["the class", shown.class, own[0]],
    ["the prompt", question.prompt, asked.prompt], ["the seed", question.seed, hex(asked.seed)],
    ["the temperature", question.temperature_milli, asked.temperature], ["the length", question.tokens_max, asked.most],
    ["the requester", question.requester, peerId(asked.requester)], ["the model", question.manifest, model],
    ["the question", question.id, hex(asked.question)], ["the answer", shown.tokens, answer.words],
    ["the end", shown.finish, answer.finish], ["the digest of the logits", shown.logits, hex(answer.logits)],
    ["the number of tokens", shown.receipt_token_count, answer.count], ["the waiting time", shown.queue_ms, wait],
    ["the time of the first token", shown.first_token_ms, first], ["the whole time", shown.total_ms, whole],
  ]) need(`${one}` === `${other}`, `${what} that it shows is not the one that was signed`);
  return { request: hex(asked.id), question: hex(asked.question), requester: hex(asked.requester),
    responder: hex(asked.responder), class_index: answer.place, tokens: answer.words, finish: answer.finish,
    logits: hex(answer.logits), passport: facts };
}
/** What a check gives, or what `otherwise` makes of the message of an error of a kind. */
function attempt(check, Kind, otherwise) {
  try { return check(); } catch (error) { if (error instanceof Kind) return otherwise(error.message); throw error; }
}
const named = (beginning, Kind, check) => attempt(check, Kind, (reason) => need(false, beginning + reason));
const JOBS = {
  passport: (job) => checkPassport(readNetwork(unhex(job.network)), unhex(job.passport)),
  receipt: (job) => checkReceipt(readNetwork(unhex(job.network)), Buffer.from(job.receipt)),
  canon: (job) => hex(encode(decode(unhex(job.data), 65536))),
  ed25519: (job) => isSigned(unhex(job.key), unhex(job.message), unhex(job.signature)),
};
const run = (job) => attempt(() => ({ found: JOBS[job.kind](job), reason: null }), Refused,
  (reason) => ({ found: null, reason }));
const plain = (_, value) => (typeof value === "bigint" ? `${value}` : value);
console.log(JSON.stringify(JSON.parse(readFileSync(0)).map(run), plain));
