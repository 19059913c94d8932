// What lives here: that a project cannot be loaded because its package.json does not say that its files are modules, as an error with the cure.
// Invariant: only an error that Node gives for that reason is told in this way, and only where package.json indeed does not say it.
// Apart from connect.ts because only whoever meets the error needs it.
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { CodedError } from './model/failure.ts';
import { shellWord } from './model/shell.ts';

export class CommonJsFault extends CodedError {
  /** The command. */
  readonly cure: string;
  constructor(says: string, cure: string, cause: unknown) {
    super('config_invalid', `${says} Nothing was started. Say it: ${cure}`, { cause });
    this.cure = cure;
  }
}

/** Undefined where the error has another reason. */
export function commonJsFault(file: string, error: unknown): CommonJsFault | undefined {
  if (!isOfCommonJs(error)) return undefined;
  const manifest = manifestAbove(dirname(file));
  if (manifest !== undefined && typeOf(manifest) === 'module') return undefined;
  const folder = shellWord(dirname(manifest ?? file));
  const [says, cure] =
    manifest === undefined
      ? ['There is no package.json', `cd ${folder} && npm init -y && npm pkg set type=module`]
      : [`${manifest} does not say "type": "module"`, `cd ${folder} && npm pkg set type=module`];
  return new CommonJsFault(`${says}, so Node takes ${file} for CommonJS, which cannot load Mendflow.`, cure, error);
}

/** By versions of Node: a cycle of `require`, no `require` at all, or words of a module that CommonJS does not know. */
function isOfCommonJs(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code } = error as NodeJS.ErrnoException;
  if (code?.startsWith('ERR_REQUIRE_') || code === 'ERR_PACKAGE_PATH_NOT_EXPORTED') return true;
  return error.name === 'SyntaxError' && /outside a module|Unexpected token 'export'/.test(error.message);
}

function manifestAbove(folder: string): string | undefined {
  for (let above = folder; ; above = dirname(above)) {
    const file = join(above, 'package.json');
    if (existsSync(file)) return file;
    if (above === dirname(above)) return undefined;
  }
}

function typeOf(manifest: string): unknown {
  try {
    return (JSON.parse(readFileSync(manifest, 'utf8')) as { type?: unknown }).type;
  } catch {
    return undefined; // Node cannot read it either.
  }
}
