// What lives here: the places in code that an error names, as a log and a person may see them.
// Invariant: only files that exist on this machine, short where they belong to the folder the worker runs in; never a word of a message.
// Apart from the pure reading of a stack because it asks the file system.
import { existsSync } from 'node:fs';
import { relative } from 'node:path';
import { framesOf } from '../model/frame.ts';

/** `src/activities/orders.ts:31:9`, the place of the throw first. */
export function placesOf(error: unknown): string[] {
  return framesOf(error).flatMap(({ file, line, column }) => {
    if (file.startsWith('node:')) return [];
    const path = decoded(file);
    if (!existsSync(path)) return [];
    return [placeAt(path, line, column)];
  });
}

/** Places in the project's own code: what lies above them in a package was called from there. */
export const ownPlacesOf = (error: unknown): string[] =>
  placesOf(error).filter((place) => !place.includes('node_modules') && !place.startsWith('/'));

/** One place: a path below the folder that this process runs in is short, another one whole. */
export function placeAt(path: string, line: number, column: number): string {
  const near = relative(process.cwd(), path);
  return `${near.startsWith('..') ? path : near}:${line}:${column}`;
}

/** Frames of ES modules are URLs, whose blanks are written as `%20`. */
function decoded(file: string): string {
  try {
    return decodeURIComponent(file);
  } catch {
    return file; // A path with a percent sign of its own.
  }
}
