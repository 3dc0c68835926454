// Eight peers of js-libp2p in one process, connected all to all. Prints the result as JSON.
//
//     node contender_js.mjs MESSAGES UNDER_WAY
//
// The load is that of workload.py. Started by bench_saturated.py, which puts the packages beside it.
import { createHash, generateKeyPairSync, sign, verify } from 'node:crypto'

Promise.withResolvers ??= function () {
  let resolve, reject
  const promise = new this((yes, no) => { resolve = yes; reject = no })
  return { promise, resolve, reject }
}

const { createLibp2p } = await import('libp2p')
const { gossipsub } = await import('@libp2p/gossipsub')
const { identify } = await import('@libp2p/identify')
const { noise } = await import('@libp2p/noise')
const { tcp } = await import('@libp2p/tcp')
const { yamux } = await import('@libp2p/yamux')

const PEERS = 8
const DEGREE_LOW = 4
const MESSAGE_BYTES = 500
const SIGNED_BYTES = MESSAGE_BYTES - 64
const WARM_UP = 200
const PATIENCE_MS = 20_000
const LOOK_MS = 50
const TOPIC = 'bench'
const [COUNT, UNDER_WAY] = process.argv.slice(2).map(Number)

const { publicKey, privateKey } = generateKeyPairSync('ed25519')
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

function message (number) {
  const data = Buffer.alloc(MESSAGE_BYTES)
  data.writeUInt32BE(number, 4)
  const filling = createHash('sha256').update(data.subarray(0, 8)).digest()
  for (let at = 8; at < SIGNED_BYTES; at += filling.length) filling.copy(data, at, 0, Math.min(32, SIGNED_BYTES - at))
  sign(null, data.subarray(0, SIGNED_BYTES), privateKey).copy(data, SIGNED_BYTES)
  return data
}

const missing = new Map()
let delivered = 0
let progress = () => {}

function judge (data) {
  if (!verify(null, data.subarray(0, SIGNED_BYTES), publicKey, data.subarray(SIGNED_BYTES))) return 'reject'
  const number = new DataView(data.buffer, data.byteOffset).getUint32(4)
  const left = missing.get(number) - 1
  delivered++
  if (left > 0) {
    missing.set(number, left)
  } else {
    missing.delete(number)
    progress()
  }
  return 'accept'
}

async function start () {
  const node = await createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionManager: { inboundConnectionThreshold: 1000 },
    services: {
      identify: identify(),
      pubsub: gossipsub({
        globalSignaturePolicy: 'StrictNoSign',
        msgIdFn: (message) => createHash('sha256').update(message.data).digest(),
        allowPublishToZeroTopicPeers: true
      })
    }
  })
  node.services.pubsub.topicValidators.set(TOPIC, (peer, message) => judge(message.data))
  node.services.pubsub.subscribe(TOPIC)
  return node
}

async function wait () {
  const before = delivered
  let timer
  await new Promise((resolve) => {
    progress = resolve
    timer = setTimeout(resolve, PATIENCE_MS)
  })
  clearTimeout(timer)
  if (delivered === before) {
    console.error(`${missing.size} messages did not reach everybody`)
    missing.clear()
  }
}

async function carry (peers, messages, from, to) {
  for (let number = from; number < to; number++) {
    while (missing.size >= UNDER_WAY) await wait()
    missing.set(number, PEERS - 1)
    peers[number % PEERS].services.pubsub.publish(TOPIC, messages[number]).catch((error) => console.error(String(error)))
  }
  while (missing.size > 0) await wait()
}

const peers = []
for (let place = 0; place < PEERS; place++) {
  peers.push(await start())
  for (const other of peers.slice(0, place)) await peers[place].dial(other.getMultiaddrs())
}
while (peers.some((peer) => peer.services.pubsub.getMeshPeers(TOPIC).length < DEGREE_LOW)) await sleep(LOOK_MS)

const messages = Array.from({ length: WARM_UP + COUNT }, (_, number) => message(number))
await carry(peers, messages, 0, WARM_UP)
delivered = 0
const [cpu, wall] = [process.cpuUsage(), performance.now()]
await carry(peers, messages, WARM_UP, WARM_UP + COUNT)
const used = process.cpuUsage(cpu)
console.log(JSON.stringify({
  cpu_ms: (used.user + used.system) / 1000 / delivered,
  wall_ms: (performance.now() - wall) / delivered,
  delivered_percent: 100 * delivered / (COUNT * (PEERS - 1))
}))
process.exit(0)
