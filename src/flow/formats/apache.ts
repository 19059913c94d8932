// What lives here: Apache's combined log, which nginx writes too: `client ident user [time] "request" status bytes "referrer" "agent"`; its variants are in access.ts.
// Invariant: a request that is no request line (`-`, the bytes of a TLS handshake) is a message all the same: scanners are part of the traffic.
// Apart because each line format is one file.
import type { GrammarFormat } from '../parse/format.ts';

export const apache: GrammarFormat = {
  kind: 'grammar',
  name: 'apache',
  says: 'access and error logs of Apache and nginx, and of HAProxy, Envoy, Traefik, Squid and the load balancers of AWS: one request a line',
  line: [
    { text: 'client', lengthMin: 1 },
    ' ',
    { text: 'ident', lengthMin: 1 },
    ' ',
    { text: 'user', lengthMin: 1 },
    ' [',
    { time: 'clf' },
    '] ',
    { quoted: 'request' },
    ' ',
    { number: 'status', valueMin: 100, valueMax: 599 },
    ' ',
    { number: 'bytes', dash: true },
    ' ',
    { quoted: 'referrer' },
    ' ',
    { quoted: 'agent' },
  ],
  variants: 'access',
  dash: 'ident',
  module: 'access',
  message: 'request',
  words: { field: 'request', into: ['method', 'path', 'protocol'] },
  severities: ['INFO', 'WARN', 'ERROR'],
  // A client's mistake is worth a look, a server's needs one; redirects and not-modified are everyday answers.
  severityOf: { field: 'status', byFirstDigit: { '1': 'INFO', '2': 'INFO', '3': 'INFO', '4': 'WARN', '5': 'ERROR' } },
};
