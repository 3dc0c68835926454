// A gossipsub peer of js-libp2p on one topic. Usage: node peer.mjs TOPIC
// Reads a command per line from its input and writes an event per line, both as JSON; ends with its input.
// What the commands and events mean is written in tests/interop/others.py.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'

// js-libp2p wants Node.js 22; this is the one thing of it that version 20 lacks.
Promise.withResolvers ??= function () {
  let resolve, reject
  const promise = new this((yes, no) => { resolve = yes; reject = no })
  return { promise, resolve, reject }
}

const { createLibp2p } = await import('libp2p')
const { gossipsub } = await import('@libp2p/gossipsub')
const { identify } = await import('@libp2p/identify')
const { multiaddr } = await import('@multiformats/multiaddr')
const { noise } = await import('@libp2p/noise')
const { ping } = await import('@libp2p/ping')
const { tcp } = await import('@libp2p/tcp')
const { yamux } = await import('@libp2p/yamux')

const LOOK_MS = 20
const topic = process.argv[2]
const tell = (event, fields) => process.stdout.write(JSON.stringify({ event, ...fields }) + '\n')

const node = await createLibp2p({
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: {
    identify: identify(),
    ping: ping(),
    pubsub: gossipsub({
      globalSignaturePolicy: 'StrictNoSign',
      msgIdFn: (message) => createHash('sha256').update(message.data).digest(),
      allowPublishToZeroTopicPeers: true
    })
  }
})
const pubsub = node.services.pubsub

// A gossip message of p2pverify: a canonical CBOR array, here of one byte string.
const batch = (record) => {
  const head = record.length < 24 ? [0x40 + record.length]
    : record.length < 256 ? [0x58, record.length]
      : [0x59, record.length >> 8, record.length & 255]
  return Buffer.concat([Buffer.from([0x81, ...head]), record])
}

const commands = {
  dial: async ({ address }) => {
    const connection = await node.dial(multiaddr(address))
    tell('pinged', { peer: connection.remotePeer.toString(), ms: await node.services.ping.ping(connection.remotePeer) })
  },
  publish: ({ data }) => pubsub.publish(topic, Buffer.from(data, 'hex')),
  vector: ({ file, place }) => {
    const record = JSON.parse(readFileSync(file, 'utf8'))[place].input.record
    return pubsub.publish(topic, batch(Buffer.from(record, 'hex')))
  }
}

node.addEventListener('peer:identify', ({ detail }) =>
  tell('identified', { peer: detail.peerId.toString(), protocols: detail.protocols }))
node.addEventListener('peer:disconnect', ({ detail }) => tell('gone', { peer: detail.toString() }))
pubsub.addEventListener('gossipsub:message', ({ detail }) =>
  tell('message', { data: Buffer.from(detail.msg.data).toString('hex'), peer: detail.propagationSource.toString() }))
pubsub.subscribe(topic)
tell('listening', { address: node.getMultiaddrs()[0].toString() })

let before = '[]'
setInterval(() => {
  const peers = pubsub.getMeshPeers(topic).sort()
  if (JSON.stringify(peers) !== before) {
    before = JSON.stringify(peers)
    tell('mesh', { peers })
  }
}, LOOK_MS)

for await (const line of createInterface({ input: process.stdin })) {
  const { command, ...fields } = JSON.parse(line)
  try {
    await commands[command](fields)
  } catch (error) {
    tell('failed', { command, reason: String(error) })
  }
}
process.exit(0)
