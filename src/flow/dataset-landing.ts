// What lives here: gathering records one by one into parts.
// Invariant: at most one part's worth of records is held; a record that cannot be kept fails the landing, because nobody could account for it.
// Apart from the session around it, so that what gathers knows nothing of databases.
import { CodedError } from '../model/failure.ts';
import { sourceOf } from '../model/json-source.ts';
import type { Part } from '../store/datasets.ts';
import { lineOf, PART_BYTES_MAX, partsFrom } from './dataset-lines.ts';

export interface Landing {
  /** Adds a record, behind the others. One of an answer's own is kept as the answer wrote it. */
  readonly put: (value: unknown) => Promise<void>;
}

/** Collects records and hands them on as parts, numbered from 0. */
export function createBuffer(write: (parts: readonly Part[]) => Promise<void>): Landing & { flush(): Promise<void> } {
  let lines: Buffer[] = [];
  let bytes = 0;
  let at = 0;
  const flush = async (): Promise<void> => {
    if (bytes === 0) return;
    const whole = Buffer.concat(lines);
    lines = [];
    bytes = 0;
    await write(await partsFrom(at++, whole));
  };
  return {
    async put(value) {
      const line = lineOf(value, sourceOf(value));
      if (!Buffer.isBuffer(line))
        throw new CodedError(
          'answer_too_large',
          `A record cannot be kept: ${line.message} Nothing of the answer was kept.`,
        );
      if (bytes + line.byteLength > PART_BYTES_MAX) await flush();
      lines.push(line);
      bytes += line.byteLength;
    },
    flush,
  };
}
