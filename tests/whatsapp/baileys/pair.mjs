// Links Baileys with the simulator and stays connected; what it sees goes out as JSON lines.
//
// Run as `node pair.mjs STORE` with the simulator's environment and NODE_EXTRA_CA_CERTS at its certificate.
// On standard input `logout` unlinks and `send JID TEXT` sends. The library is used as published: only its constant for WhatsApp's pinned key,
// an exported object, is set to the simulator's.

import { createInterface } from 'node:readline'

import makeWASocket, { DisconnectReason, useMultiFileAuthState, WA_CERT_DETAILS } from 'baileys'
import { HttpsProxyAgent } from 'https-proxy-agent'

WA_CERT_DETAILS.PUBLIC_KEY = Buffer.from(process.env.TOWER_SIMULATOR_ROOT_KEY, 'hex')

const silent = { level: 'silent', child: () => silent }
for (const level of ['trace', 'debug', 'info', 'warn', 'error', 'fatal']) {
  silent[level] = (...words) => process.env.DEBUG && console.error(level, ...words)
}

// Its libsignal prints what it does.
console.log = console.info = console.error
const say = (event, more = {}) => process.stdout.write(JSON.stringify({ event, ...more }) + '\n')
const agent = new HttpsProxyAgent(process.env.HTTPS_PROXY)
const { state, saveCreds } = await useMultiFileAuthState(process.argv[2])
let socket

function connect() {
  socket = makeWASocket({ auth: state, agent, logger: silent })
  socket.ev.on('creds.update', saveCreds)
  socket.ev.on('messages.upsert', ({ messages }) => {
    for (const { key, message, pushName } of messages) {
      const text = message?.conversation ?? message?.extendedTextMessage?.text
      if (text) say('message', { id: key.id, chat: key.remoteJid, fromMe: key.fromMe, pushName, text })
    }
  })
  socket.ev.on('connection.update', ({ connection, qr, lastDisconnect }) => {
    if (qr) say('qr', { qr })
    if (connection === 'open') say('open', { jid: socket.user.id, lid: socket.user.lid })
    if (connection === 'close') {
      const code = lastDisconnect?.error?.output?.statusCode
      say('close', { code })
      if (code === DisconnectReason.restartRequired) connect()
    }
  })
}

createInterface({ input: process.stdin }).on('line', async (line) => {
  const [verb, jid, ...words] = line.split(' ')
  if (verb === 'logout') await socket.logout()
  if (verb === 'send') say('sent', { id: (await socket.sendMessage(jid, { text: words.join(' ') })).key.id })
})
connect()
