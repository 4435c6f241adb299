// Many Baileys sockets in one Node process, as the web dashboards run them; what they see goes out as JSON lines.
//
// Run as `node pool.mjs DIRECTORY NAME...` with the simulator's environment and NODE_EXTRA_CA_CERTS at its
// certificate; each name is a store below the directory. A socket that is closed is opened again at once.

import { join } from 'node:path'

import makeWASocket, { DisconnectReason, useMultiFileAuthState, WA_CERT_DETAILS } from 'baileys'
import { HttpsProxyAgent } from 'https-proxy-agent'

WA_CERT_DETAILS.PUBLIC_KEY = Buffer.from(process.env.TOWER_SIMULATOR_ROOT_KEY, 'hex')

const silent = { level: 'silent', child: () => silent }
for (const level of ['trace', 'debug', 'info', 'warn', 'error', 'fatal']) silent[level] = () => {}

console.log = console.info = console.error
const say = (event, more = {}) => process.stdout.write(JSON.stringify({ event, ...more }) + '\n')
const agent = new HttpsProxyAgent(process.env.HTTPS_PROXY)
const [directory, ...names] = process.argv.slice(2)

async function open(name) {
  const { state, saveCreds } = await useMultiFileAuthState(join(directory, name))

  function connect() {
    const socket = makeWASocket({ auth: state, agent, logger: silent })
    socket.ev.on('creds.update', saveCreds)
    socket.ev.on('connection.update', ({ connection, qr, lastDisconnect }) => {
      if (qr) say('qr', { name, qr })
      if (connection === 'open') say('open', { name })
      if (connection === 'close') {
        const code = lastDisconnect?.error?.output?.statusCode
        if (code !== DisconnectReason.loggedOut) connect()
      }
    })
  }
  connect()
}

await Promise.all(names.map(open))
