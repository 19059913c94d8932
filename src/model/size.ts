// What lives here: how large a value is when it travels, and what is said of one that is too large.
// Invariant: measured before Temporal is asked, because Temporal refuses a whole workflow task, at every try anew, and names no stage.
// Apart because arguments, outputs and results have one limit and one advice.
import { CodedError, type Failure, failure } from './failure.ts';

/** Temporal takes 2 MB in one value; the call beside it and what a converter of your own adds need some of it. */
export const ARGUMENT_BYTES_MAX = 1_500_000;
/** Outputs of all finished stages: they travel together when a run continues as new, with parks and summaries beside them. */
export const JOURNAL_BYTES_MAX = 1_250_000;
/** What a worker can send at all, with room for what a converter of your own adds. */
export const OUTPUT_BYTES_MAX = 1_900_000;
/** What the body returns. */
export const RESULT_BYTES_MAX = 1_000_000;

/** Bytes of a value as JSON in UTF-8, as Temporal's own converter writes it. Bytes of binary values are counted as they are. */
export function bytesOf(value: unknown): number {
  if (value === undefined || value === null) return 4;
  if (value instanceof Uint8Array) return value.byteLength;
  try {
    const json = JSON.stringify(value) as string | undefined;
    return json === undefined ? 4 : utf8BytesOf(json);
  } catch {
    // What cannot be written as JSON is the converter's to refuse.
    return 4;
  }
}

function utf8BytesOf(text: string): number {
  let bytes = text.length;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit > 0x7f) bytes += unit > 0x7ff && (unit < 0xd800 || unit > 0xdfff) ? 2 : 1;
  }
  return bytes;
}

/** `3.1 MB`. */
export const inMegabytes = (bytes: number): string => `${(bytes / 1_000_000).toFixed(bytes < 100_000 ? 3 : 1)} MB`;

const advice =
  'Hand on a reference instead, such as a dataset, a file name or a key, and let the stage read it; or let one stage work many items.';

/** Of an argument nothing has happened yet. */
export const argumentTooLarge = (stage: string, bytes: number): Failure => ({
  ...failure(
    'payload_too_large',
    `Stage ${stage} was given ${inMegabytes(bytes)}; at most ${inMegabytes(ARGUMENT_BYTES_MAX)} travel to a stage. It was not called. ${advice} Deploy that, then retry.`,
  ),
  commit: 'no',
});

/** Of an output that cannot even leave the worker. */
export const answerTooLarge = (stage: string, bytes: number): CodedError =>
  new CodedError(
    'payload_too_large',
    `Stage ${stage} returned ${inMegabytes(bytes)}; at most ${inMegabytes(JOURNAL_BYTES_MAX)} are kept. What it did stays done; its answer is not kept, so a retry does it again. ${advice}`,
  );

/** Of an output the effect has happened, and only the answer cannot be kept. */
export const outputTooLarge = (stage: string, bytes: number, kept: { stages: number; bytes: number }): Failure =>
  failure(
    'payload_too_large',
    `Stage ${stage} returned ${inMegabytes(bytes)}, and ${kept.stages} finished stages of this run have returned ${inMegabytes(kept.bytes)}; together at most ${inMegabytes(JOURNAL_BYTES_MAX)} are kept. What it did stays done; its answer is not kept, so a retry does it again. ${advice}`,
  );
