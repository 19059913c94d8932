// What lives here: secrets by reference: a declaration names them, and their values are read from the environment or a file at each call.
// Invariant: no value of a secret is ever part of an error, and what is kept of one is a fingerprint that leads back to nothing.
// Apart because every connector needs it, and because the place where values pass should be short enough to be read whole.
import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { CodedError } from '../model/failure.ts';
import type { Secret, Upstream } from '../model/upstream.ts';

/** The value behind a name, read now. Undefined: neither the variable nor its file is set. */
export type ReadSecret = (name: string) => string | undefined;

/** Credentials are short; whatever is longer is another file than meant. */
const FILE_BYTES_MAX = 64 * 1024;

/**
 * Reads secrets from an environment: the variable NAME, else the file that NAME_FILE names, without white space around its content.
 * Nothing is remembered, so a credential that was renewed is used from the next call on.
 * Throws `secret_missing` where a file is named and cannot be read.
 */
export const secretsFrom =
  (env: Readonly<Record<string, string | undefined>>): ReadSecret =>
  (name) => {
    const given = env[name];
    if (given !== undefined && given !== '') return given;
    const file = env[`${name}_FILE`];
    if (file === undefined || file === '') return undefined;
    return readSecretFile(name, file);
  };

function readSecretFile(name: string, path: string): string | undefined {
  const unreadable = (why: string): CodedError =>
    new CodedError(
      'secret_missing',
      `The file that ${name}_FILE names cannot be read (${why}). Nothing was sent. Put the secret there; it is read again at the next call.`,
    );
  try {
    const found = statSync(path);
    // Reading a pipe would stop the whole worker until somebody writes into it.
    if (!found.isFile()) throw unreadable('it is no regular file');
    if (found.size > FILE_BYTES_MAX) throw unreadable(`it is larger than ${FILE_BYTES_MAX} bytes`);
    const value = readFileSync(path, 'utf8').trim();
    if (value === '') throw unreadable('it is empty');
    return value;
  } catch (error) {
    if (error instanceof CodedError) throw error;
    const { code } = error as { code?: unknown };
    throw unreadable(typeof code === 'string' ? code : 'for a reason without a name');
  }
}

/** Whether there is a value; a named file that cannot be read is as good as none. */
export function isSet(read: ReadSecret, name: string): boolean {
  try {
    return read(name) !== undefined;
  } catch {
    return false; // What is wrong with the file is said by the call that needs it.
  }
}

/** The value of a declared secret with the text before it. Throws `secret_missing`, naming the variable. */
export function valueOf(secret: Secret, read: ReadSecret): string {
  const value = read(secret.secret);
  if (value !== undefined && value !== '') return `${secret.before ?? ''}${value}`;
  throw new CodedError(
    'secret_missing',
    `Neither ${secret.secret} nor ${secret.secret}_FILE is set for the worker. Nothing was sent. A worker takes its variables when it starts: set one, start the workers again (\`mendflow stack up\` where it was set, or \`dev\` anew), then retry.`,
  );
}

/** Sets these fingerprints apart from every other use of SHA-256, so that no table made elsewhere fits. */
const CONTEXT = 'mendflow credential fingerprint 1';

/**
 * A short fingerprint of the values that the declared secrets have now, to see whether somebody renewed one. Undefined where no secret
 * is declared. 48 bits: enough to notice a change, and too few to tell a guessed value from thousands of others.
 */
export function printOf(headers: Upstream['headers'], read: ReadSecret): string | undefined {
  const hash = createHash('sha256').update(CONTEXT);
  let secrets = 0;
  for (const [header, value] of Object.entries(headers ?? {}).sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (typeof value === 'string') continue;
    secrets++;
    // Lengths are part of it, so that no two lists of values read the same when joined.
    for (const part of [header, value.secret, presentValue(value, read)])
      hash.update(`\0${part.length}\0`).update(part);
  }
  return secrets === 0 ? undefined : hash.digest('hex').slice(0, 12);
}

/** A secret that cannot be read counts as one without a value: setting it changes the fingerprint. */
function presentValue(secret: Secret, read: ReadSecret): string {
  try {
    return read(secret.secret) ?? '';
  } catch (error) {
    if (error instanceof CodedError) return '';
    throw error;
  }
}
