// What lives here: adds to package-lock.json the optional packages of other platforms that the registry at hand does not carry.
// Invariant: it only adds, only what a locked package names as optional by an exact version; `npm ci` refuses a lock without them.
// Apart from the set-up: run it by hand after `npm install` has changed the lock (`node scripts/complete-lock.mjs`).
import { readFileSync, writeFileSync } from 'node:fs';

const file = new URL('../package-lock.json', import.meta.url);
const lock = JSON.parse(readFileSync(file, 'utf8'));
const { packages } = lock;

const systems = ['android', 'darwin', 'freebsd', 'linux', 'openharmony', 'win32'];
// Names say the machine in Node's words, but for the arm of 32 bits.
const processors = {
  'arm-': 'arm',
  arm64: 'arm64',
  ia32: 'ia32',
  ppc64: 'ppc64',
  riscv64: 'riscv64',
  s390x: 's390x',
  x64: 'x64',
};

/** Node looks beside the package and then in every folder above. */
const isLocked = (from, name) => {
  const folders = [''];
  for (let at = from; at !== ''; at = at.slice(0, Math.max(0, at.lastIndexOf('/node_modules/'))))
    folders.push(`${at}/`);
  return folders.some((folder) => packages[`${folder}node_modules/${name}`] !== undefined);
};

const entryOf = (name, version, parent) => {
  const os = systems.find((one) => name.includes(`${one}-`));
  const cpu = Object.entries(processors).find(([part]) => name.includes(`-${part}`))?.[1];
  if (os === undefined || cpu === undefined || !/^\d+\.\d+\.\d+[\w.-]*$/.test(version)) {
    throw new Error(
      `${name}@${version} is missing in the lock and its name does not tell its machine: lock it with npm.`,
    );
  }
  const libc = name.endsWith('-musl') ? { libc: ['musl'] } : name.endsWith('-gnu') ? { libc: ['glibc'] } : {};
  return { version, cpu: [cpu], ...(parent.dev ? { dev: true } : {}), ...libc, optional: true, os: [os] };
};

let added = 0;
for (const [path, entry] of Object.entries(packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    if (isLocked(path, name)) continue;
    packages[`node_modules/${name}`] = entryOf(name, version, entry);
    added += 1;
  }
}
if (added > 0) {
  lock.packages = Object.fromEntries(Object.entries(packages).toSorted(([a], [b]) => a.localeCompare(b, 'en')));
  writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
}
process.stdout.write(`package-lock.json: ${added} optional packages of other platforms added.\n`);
