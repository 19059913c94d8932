// What lives here: what a file is by its first bytes: text, gzip, or something that cannot be read line by line.
// Invariant: a name decides nothing; what cannot be read is refused whole, in one sentence that says what it is and what to do.
// Apart because the bytes that tell kinds apart are a table of facts about other people's formats.
import { isUtf8 } from 'node:buffer';
import { constants, gunzipSync } from 'node:zlib';
import type { Codec } from '../flow/parse/bytes.ts';

/** Bytes of the file's start that are looked at. A whole tar header is in it, and a page of text. */
export const KIND_BYTES = 4096;

interface Kind {
  readonly what: string;
  /** What a person does about it. */
  readonly remedy: string;
}

const UNPACK = 'Unpack it beside, or store it as gzip,';
const RECODE = 'Convert it to UTF-8 (iconv -t UTF-8)';
const EXPORT = 'Export it as text';
const RETURNS = "Convert its line ends (tr '\\r' '\\n')";
const packed = (what: string): Kind => ({ what, remedy: UNPACK });

/** Beginnings of files, in hex, and what they tell. A longer one stands before a shorter one that it begins with. */
const beginnings: readonly (readonly [string, Kind])[] = (
  [
    ['504b0304', packed('a zip archive')],
    ['504b0506', packed('an empty zip archive')],
    ['504b0708', packed('a part of a zip archive')],
    ['377abcaf271c', packed('a 7z archive')],
    ['526172211a07', packed('a rar archive')],
    ['4d534346', packed('a cab archive')],
    ['213c617263683e0a', packed('an ar archive')],
    ['303730373', packed('a cpio archive')],
    ['fd377a585a00', packed('compressed with xz')],
    ['28b52ffd', packed('compressed with zstd')],
    ['502a4d18', packed('compressed with zstd')],
    ['04224d18', packed('compressed with lz4')],
    ['02214c18', packed('compressed with lz4 in its old form')],
    ['4c5a4950', packed('compressed with lzip')],
    ['894c5a4f000d0a1a0a', packed('compressed with lzop')],
    ['5d0000', packed('compressed with lzma')],
    ['ff060000734e61507059', packed('compressed with snappy')],
    ['1f9d', packed('compressed with compress (.Z)')],
    ['1fa0', packed('compressed with compress (.Z)')],
    ['1f1e', packed('compressed with pack')],
    ['fffe0000', { what: 'text in UTF-32', remedy: RECODE }],
    ['0000feff', { what: 'text in UTF-32', remedy: RECODE }],
    ['fffe', { what: 'text in UTF-16', remedy: RECODE }],
    ['feff', { what: 'text in UTF-16', remedy: RECODE }],
    ['2b2f76', { what: 'text in UTF-7', remedy: RECODE }],
    ['50415231', { what: 'a Parquet file', remedy: EXPORT }],
    ['4f626a01', { what: 'an Avro file', remedy: EXPORT }],
    ['4f5243', { what: 'an ORC file', remedy: EXPORT }],
    ['53514c69746520666f726d6174203300', { what: 'an SQLite database', remedy: EXPORT }],
    ['4c504b5348485248', { what: 'a journal of systemd', remedy: 'Export it with journalctl --file' }],
    ['456c6646696c6500', { what: 'a Windows event log', remedy: EXPORT }],
    ['d0cf11e0a1b11ae1', { what: 'an old Office document', remedy: EXPORT }],
    ['255044462d', { what: 'a PDF document', remedy: EXPORT }],
    ['89504e470d0a1a0a', { what: 'a PNG image', remedy: EXPORT }],
    ['ffd8ff', { what: 'a JPEG image', remedy: EXPORT }],
    ['7f454c46', { what: 'a program', remedy: EXPORT }],
    ['d4c3b2a1', { what: 'a capture of packets', remedy: EXPORT }],
    ['a1b2c3d4', { what: 'a capture of packets', remedy: EXPORT }],
    ['0a0d0d0a', { what: 'a capture of packets', remedy: EXPORT }],
    ['6167652d656e6372797074696f6e', { what: 'encrypted with age', remedy: 'Decrypt it beside' }],
  ] as const
).map(([hex, kind]) => [hex, kind] as const);

/** Text says these words by chance too, so the few bytes behind them have to be no text. */
const textual = new Set(['4c5a4950', '4d534346', '50415231', '4f5243', '2b2f76', '5d0000', '303730373']);

/** `BZh9` and the six bytes of pi, or of the square root of it where nothing was compressed. */
const isBzip2 = (bytes: Buffer): boolean =>
  /^425a683[1-9](?:314159265359|177245385090)/.test(bytes.toString('hex', 0, 10));

/** A tar header proves itself by its checksum, whatever its age. */
function isTar(bytes: Buffer): boolean {
  if (bytes.length < 512) return false;
  const stated = Number.parseInt(bytes.toString('latin1', 148, 156).replace(/[\0 ].*$/s, ''), 8);
  let sum = 0;
  for (let at = 0; at < 512; at++) sum += at >= 148 && at < 156 ? 32 : bytes[at]!;
  return sum === stated && bytes[0] !== 0;
}

/** Blocks of NULs that a crash or a truncated file leaves: a hole in a text makes it no binary. */
const withoutHoles = (bytes: Buffer): Buffer => Buffer.from(bytes.toString('latin1').replace(/\0{16,}/g, ''), 'latin1');

/** Text in two or four bytes a character without a mark: NULs stand in the same place of each. */
function wideText(bytes: Buffer): Kind | undefined {
  if (bytes.length < 8) return undefined;
  const nuls = [0, 0, 0, 0];
  for (let at = 0; at < bytes.length; at++) if (bytes[at] === 0) nuls[at % 4]!++;
  const [a, b, c, d] = nuls.map((count) => count / (bytes.length / 4)) as [number, number, number, number];
  if ((a < 0.1 && b > 0.6 && c > 0.9 && d > 0.9) || (d < 0.1 && a > 0.9 && b > 0.9 && c > 0.6))
    return { what: 'text in UTF-32', remedy: RECODE };
  const [even, odd] = [(a + c) / 2, (b + d) / 2];
  if ((odd > 0.5 && even < 0.05) || (even > 0.5 && odd < 0.05)) return { what: 'text in UTF-16', remedy: RECODE };
  return undefined;
}

/** Bytes that no log line has often: controls other than tab, line ends, escape. */
const isOdd = (byte: number): boolean => (byte < 32 && (byte < 7 || byte > 13) && byte !== 27) || byte === 127;

function isBinary(bytes: Buffer): boolean {
  if (bytes.length < 32) return false;
  let odd = 0;
  let high = 0;
  for (const byte of bytes) {
    if (isOdd(byte)) odd++;
    if (byte > 127) high++;
  }
  // The sample may end in the middle of a character.
  const cut = [0, 1, 2, 3].some((less) => isUtf8(bytes.subarray(0, bytes.length - less)));
  if (odd > bytes.length * 0.3) return true;
  if (cut) return false;
  return odd > bytes.length * 0.05 || (!bytes.includes(10) && high > bytes.length * 0.3);
}

/**
 * Lines that end in a carriage return alone would be one record, and all behind the first of them lost in its message. A line that draws
 * its progress with carriage returns is one line: what stands behind them does not begin as the line does.
 */
function endsInReturns(bytes: Buffer): boolean {
  if (bytes.includes(10) || !bytes.includes(13)) return false;
  const shape = (line: string): string =>
    line
      .slice(0, 8)
      .replace(/\d/g, '0')
      .replace(/[A-Za-z]/g, 'a');
  const [first = '', ...others] = bytes
    .toString('latin1')
    .split('\r')
    .filter((line) => line.trim() !== '');
  return first.length >= 8 && others.some((line) => shape(line) === shape(first));
}

/** What these first bytes are, if they are no text that can be read. */
function foreign(bytes: Buffer): Kind | undefined {
  const hex = bytes.toString('hex', 0, 16);
  const begun = beginnings.find(
    ([start]) => hex.startsWith(start) && (!textual.has(start) || bytes.subarray(0, 64).some(isOdd)),
  );
  if (begun) return begun[1];
  if (isBzip2(bytes)) return packed('compressed with bzip2');
  if (isTar(bytes)) return packed('a tar archive');
  const solid = withoutHoles(bytes);
  const wide = wideText(solid);
  if (wide) return wide;
  if (isBinary(solid)) return { what: 'no text', remedy: EXPORT };
  return endsInReturns(solid)
    ? { what: 'text whose lines end in carriage returns alone, as on old Macs', remedy: RETURNS }
    : undefined;
}

const isGzip = (bytes: Buffer): boolean => bytes[0] === 0x1f && bytes[1] === 0x8b;

/** The start of what a gzip stream holds; undefined where it is damaged, which its reader says better. */
function unpacked(bytes: Buffer): Buffer | undefined {
  try {
    return gunzipSync(bytes, { finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, KIND_BYTES);
  } catch {
    return undefined;
  }
}

/** How a file is stored, by its first bytes (`KIND_BYTES` of them, or all), or what it is instead. */
export function kindOf(bytes: Buffer): { readonly codec: Codec } | Kind {
  if (!isGzip(bytes)) return foreign(bytes) ?? { codec: 'none' };
  const inside = unpacked(bytes);
  if (inside === undefined) return { codec: 'gzip' };
  const kind = isGzip(inside) ? packed('gzip') : foreign(inside);
  return kind === undefined ? { codec: 'gzip' } : { ...kind, what: `gzip, and what is in it is ${kind.what}` };
}
