// What lives here: sealing of record values at rest, and keyed hashes of keys.
// Invariant: any bytes can be sealed; what opens is what was sealed, under the same label, or opening fails.
// Apart because letters are the only place where Mendflow keeps values of records, and this is the only code that reads them.
import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto';
import { CodedError } from '../model/failure.ts';

/** A key of 32 bytes with the name that is stored beside what it sealed. */
export interface LetterKey {
  readonly id: string;
  readonly key: Uint8Array;
}

export interface Sealer {
  /** Name of the key that seals now. */
  readonly keyId: string;
  /** AES-256-GCM; the label (the letter's id and column) is authenticated, so a sealed value cannot be moved to another letter. */
  seal(plain: Uint8Array, label: string): Buffer;
  /** Fails with `config_invalid` if the key is not known here, and with `pg_corrupt` if the bytes were changed. */
  open(sealed: Uint8Array, label: string, keyId: string): Buffer;
  /** For business keys: equal values give equal hashes, and without the key nobody can try values. */
  hash(value: Uint8Array): Buffer;
}

const FORMAT = 1;
const IV_BYTES = 12;
const TAG_BYTES = 16;
const KEY_BYTES = 32;

/** Seals with the first key and opens with any of them; older keys stay in the list until their letters are gone. */
export function createSealer(keys: readonly [LetterKey, ...LetterKey[]]): Sealer {
  for (const { id, key } of keys)
    if (key.byteLength !== KEY_BYTES)
      throw new CodedError('config_invalid', `Letter key "${id}" has ${key.byteLength} bytes; it needs ${KEY_BYTES}.`);
  const [current] = keys;
  // The hash has a key of its own, derived from the first, so that neither use weakens the other.
  const hashKey = createHmac('sha256', current.key).update('mendflow business key').digest();
  return {
    keyId: current.id,
    seal(plain, label) {
      const iv = randomBytes(IV_BYTES);
      const cipher = createCipheriv('aes-256-gcm', current.key, iv).setAAD(Buffer.from(label));
      const body = Buffer.concat([cipher.update(plain), cipher.final()]);
      return Buffer.concat([Buffer.of(FORMAT), iv, cipher.getAuthTag(), body]);
    },
    open(sealed, label, keyId) {
      const found = keys.find(({ id }) => id === keyId);
      if (!found)
        throw new CodedError(
          'config_invalid',
          `The letter was sealed with key "${keyId}", which this process does not have. The letter is unchanged. Add the key to the configured list.`,
        );
      return opened(Buffer.from(sealed), label, found.key);
    },
    hash: (value) => createHmac('sha256', hashKey).update(value).digest(),
  };
}

function opened(sealed: Buffer, label: string, key: Uint8Array): Buffer {
  const ivEnd = 1 + IV_BYTES;
  const tagEnd = ivEnd + TAG_BYTES;
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(1, ivEnd))
      .setAAD(Buffer.from(label))
      .setAuthTag(sealed.subarray(ivEnd, tagEnd));
    return Buffer.concat([decipher.update(sealed.subarray(tagEnd)), decipher.final()]);
  } catch (cause) {
    throw new CodedError(
      'pg_corrupt',
      `A sealed value (${label}) does not open: its bytes or its place were changed.`,
      {
        cause,
      },
    );
  }
}
