// A js-libp2p peer for circuits. Usage: node circuit.mjs relay | client | behind RELAY-ADDRESS
// "relay" serves circuits, "client" opens them, "behind" is reached through the relay alone.
// Reads a command per line from its input and writes an event per line, both as JSON; ends with its input.
import { createInterface } from 'node:readline'

// js-libp2p wants Node.js 22; this is the one thing of it that version 20 lacks.
Promise.withResolvers ??= function () {
  let resolve, reject
  const promise = new this((yes, no) => { resolve = yes; reject = no })
  return { promise, resolve, reject }
}

const { createLibp2p } = await import('libp2p')
const { circuitRelayServer, circuitRelayTransport } = await import('@libp2p/circuit-relay-v2')
const { identify } = await import('@libp2p/identify')
const { multiaddr } = await import('@multiformats/multiaddr')
const { noise } = await import('@libp2p/noise')
const { ping } = await import('@libp2p/ping')
const { tcp } = await import('@libp2p/tcp')
const { yamux } = await import('@libp2p/yamux')

const ECHO = '/p2pverify/echo/1'
const PING = '/ipfs/ping/1.0.0'
const LOOK_MS = 20
const [role, relay] = process.argv.slice(2)
const tell = (event, fields) => process.stdout.write(JSON.stringify({ event, ...fields }) + '\n')

const services = { identify: identify(), ping: ping({ runOnLimitedConnection: true }) }
if (role === 'relay') services.relay = circuitRelayServer()
const node = await createLibp2p({
  addresses: { listen: role === 'relay' ? ['/ip4/127.0.0.1/tcp/0'] : role === 'behind' ? [`${relay}/p2p-circuit`] : [] },
  transports: role === 'relay' ? [tcp()] : [tcp(), circuitRelayTransport()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  connectionGater: { denyDialMultiaddr: () => false },
  services
})
await node.handle(ECHO, (stream) => {
  stream.addEventListener('message', ({ data }) => stream.send(data.subarray()))
}, { runOnLimitedConnection: true })

// Sends bytes on a fresh stream, and waits until as many have come back.
const answered = async (connection, protocol, bytes) => {
  const stream = await connection.newStream(protocol, { runOnLimitedConnection: true })
  const back = Promise.withResolvers()
  let count = 0
  stream.addEventListener('message', ({ data }) => {
    count += data.byteLength
    if (count >= bytes) back.resolve()
  })
  stream.send(new Uint8Array(bytes))
  await back.promise
}

const commands = {
  dial: async ({ address }) => {
    const connection = await node.dial(multiaddr(address))
    const peer = connection.remotePeer.toString()
    tell('dialled', { peer, limited: connection.limits != null })
    // The ping of js-libp2p would dial once more, as this connection is a limited one.
    await answered(connection, PING, 32)
    tell('pinged', { peer })
  },
  echo: async ({ peer, bytes }) => {
    const connection = node.getConnections().find((each) => each.remotePeer.toString() === peer)
    await answered(connection, ECHO, bytes)
    tell('echoed', { bytes })
  }
}

const look = setInterval(() => {
  const address = node.getMultiaddrs()[0]
  if (address != null || role === 'client') {
    clearInterval(look)
    tell('listening', { address: String(address ?? `/p2p/${node.peerId}`) })
  }
}, LOOK_MS)

for await (const line of createInterface({ input: process.stdin })) {
  const { command, ...fields } = JSON.parse(line)
  try {
    await commands[command](fields)
  } catch (error) {
    tell('failed', { command, reason: String(error), causes: String(error.errors ?? error.cause ?? '') })
  }
}
process.exit(0)
