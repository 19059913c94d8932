// What lives here: certificates for tests, made on the spot: self-signed, for any host and any time.
// Invariant: nothing secret is stored in the repository, and nothing expires between two runs of the tests.
// Apart because X.509 is bytes in bytes, which no test wants to see.
import { generateKeyPairSync, sign } from 'node:crypto';

export interface Certificate {
  /** PEM; as its own authority it is also what a client has to trust. */
  readonly cert: string;
  readonly key: string;
}

/** A certificate for host names, valid between two moments. Default: from yesterday to tomorrow. */
export function certificate(
  names: readonly string[],
  valid: { readonly from?: Date; readonly to?: Date } = {},
): Certificate {
  const day = 86_400_000;
  const { from = new Date(Date.now() - day), to = new Date(Date.now() + day) } = valid;
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const name = sequence(tlv(0x31, sequence(oid('550403'), tlv(0x0c, Buffer.from(names[0] ?? 'nobody')))));
  const algorithm = sequence(oid('2a8648ce3d040302')); // ecdsa-with-SHA256
  const alternatives = sequence(...names.map((one) => tlv(0x82, Buffer.from(one))));
  const content = sequence(
    tlv(0xa0, tlv(0x02, Buffer.of(2))), // version 3
    tlv(0x02, Buffer.of(1)),
    algorithm,
    name,
    sequence(time(from), time(to)),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    tlv(0xa3, sequence(sequence(oid('551d11'), tlv(0x04, alternatives)))),
  );
  const signature = tlv(0x03, Buffer.concat([Buffer.of(0), sign('sha256', content, privateKey)]));
  const der = sequence(content, algorithm, signature);
  return {
    cert: `-----BEGIN CERTIFICATE-----\n${der.toString('base64').replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
  };
}

/** Tag, length, value: lengths from 128 on say first how many bytes they take. */
function tlv(tag: number, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const length =
    body.length < 128
      ? Buffer.of(body.length)
      : body.length < 256
        ? Buffer.of(0x81, body.length)
        : Buffer.of(0x82, body.length >> 8, body.length & 255);
  return Buffer.concat([Buffer.of(tag), length, body]);
}

const sequence = (...parts: readonly Buffer[]): Buffer => tlv(0x30, ...parts);
const oid = (hex: string): Buffer => tlv(0x06, Buffer.from(hex, 'hex'));
const time = (at: Date): Buffer => tlv(0x17, Buffer.from(`${at.toISOString().replace(/[-:T]/g, '').slice(2, 14)}Z`));
