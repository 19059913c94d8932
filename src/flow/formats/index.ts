// What lives here: the line formats that have a name.
// Invariant: every name that a pipeline offers is here, and what is here can be read.
// Apart because pipelines choose by name, and users add formats of their own beside these.
import type { Format } from '../parse/format.ts';
import { apache } from './apache.ts';
import { jsonl } from './jsonl.ts';
import { log4j } from './log4j.ts';
import { plain, strict } from './plain.ts';
import { syslog } from './syslog.ts';

export const formats = { plain, 'plain-strict': strict, log4j, apache, syslog, jsonl } as const satisfies Record<
  string,
  Format
>;

/** A format that can be chosen by its name. */
export type FormatName = keyof typeof formats;
