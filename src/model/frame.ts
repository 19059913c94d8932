// What lives here: where an error was thrown, read from its stack: file, line and column of each frame.
// Invariant: a frame holds a place in code and nothing else; lines of a message that look like frames are none, and names of functions are left out.
// Apart because a stack begins with the message, which may quote a record, and whoever shows a frame must not have to think of that.

/** A place in code. */
export interface Frame {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

const FRAMES_MAX = 8;
const STACK_LENGTH_MAX = 64 * 1024;

/** `    at name (file:///a/b.ts:12:5)` or `    at /a/b.ts:12:5`; a Windows path has a colon of its own. */
const framePattern =
  /^ {4}at (?:.{0,200}? \(|async )?((?:file:\/\/|node:|[/\\]|[A-Za-z]:[/\\])[^:\n]{1,300}):(\d{1,7}):(\d{1,7})\)?$/;

/**
 * The frames of an error, the place of the throw first. What cannot be told apart from its message for certain is left out.
 * Whoever shows them should show only files that exist.
 */
export function framesOf(error: unknown): Frame[] {
  if (!(error instanceof Error)) return [];
  const { stack, message } = error as { stack?: unknown; message?: unknown };
  if (typeof stack !== 'string' || typeof message !== 'string' || stack.length > STACK_LENGTH_MAX) return [];
  // V8 writes name and message before the frames. If the message was changed since, nobody knows where it ended.
  const at = message === '' ? 0 : stack.indexOf(message);
  if (at === -1) return [];
  return stack
    .slice(at + message.length)
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [, file, row, column] = framePattern.exec(line) ?? [];
      return file === undefined
        ? []
        : [{ file: file.replace(/^file:\/\//, ''), line: Number(row), column: Number(column) }];
    })
    .slice(0, FRAMES_MAX);
}
