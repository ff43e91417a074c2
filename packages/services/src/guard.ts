import { type ChildProcess, spawn } from 'node:child_process';

/**
 * Servers have no channel to us, so nothing would tell them that we were killed. The guard is a small shell with
 * a pipe to us: when the pipe closes and we never said goodbye, it stops what it watches, the newest first
 * (apps before Redis before Postgres), each with its own signal and patience, then by SIGKILL.
 * Signal `none` means: the process sees by itself that we are gone (IPC), only wait for it. A zombie has ended: in a
 * container whose first process collects none, it would stay for ever.
 */
const GUARD_SCRIPT = `
trap '' INT TERM HUP QUIT
alive() {
  kill -0 "$1" 2>/dev/null || return 1
  [ -r "/proc/$1/stat" ] || return 0
  read -r stat 2>/dev/null <"/proc/$1/stat" || return 1
  case $stat in *") Z "*) return 1 ;; esac
}
list=
while read -r verb pid signal grace; do
  case $verb in
    watch) list="$pid:$signal:$grace $list" ;;
    forget)
      kept=
      for entry in $list; do
        case $entry in "$pid":*) ;; *) kept="$kept$entry " ;; esac
      done
      list=$kept ;;
    goodbye) exit 0 ;;
  esac
done
for entry in $list; do
  pid=\${entry%%:*}; rest=\${entry#*:}; signal=\${rest%%:*}; tenths=\${rest#*:}0
  [ "$signal" = none ] || kill -s "$signal" "$pid" 2>/dev/null
  while [ "$tenths" -gt 0 ] && alive "$pid"; do
    sleep 0.1
    tenths=$((tenths - 1))
  done
  kill -s KILL -- "-$pid" 2>/dev/null || kill -s KILL "$pid" 2>/dev/null
done
`;

export type GuardSignal = 'INT' | 'TERM' | 'QUIT' | 'none';

let guard: ChildProcess | null = null;
const watched = new Map<number, string>();
/** Guards that were told goodbye and are still there. */
const leaving = new Set<Promise<void>>();

function say(line: string): void {
  guard?.stdin?.write(`${line}\n`);
}

function startGuard(): void {
  const child = spawn('/bin/sh', ['-c', GUARD_SCRIPT, 'nightshift-guard'], {
    // Its own session: neither Ctrl-C nor a signal to our process group reaches it.
    detached: true,
    cwd: '/',
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  guard = child;
  child.stdin?.on('error', () => {});
  child.once('error', () => {});
  child.once('exit', () => {
    // Somebody killed the guard: what is still watched gets a new one.
    if (guard !== child) return;
    guard = null;
    if (watched.size > 0) startGuard();
  });
  for (const line of watched.values()) say(line);
  child.unref();
  (child.stdin as unknown as { unref?: () => void } | null)?.unref?.();
}

/** If this process dies without a word, `pid` (leader of its process group) gets `signal`, and SIGKILL after `graceSeconds`. */
export function watchProcess(pid: number, signal: GuardSignal, graceSeconds: number): void {
  const line = `watch ${pid} ${signal} ${graceSeconds}`;
  watched.set(pid, line);
  if (guard === null) startGuard();
  else say(line);
}

/** The process has ended, or is none of ours any more: its number may be given to another. */
export function forgetProcess(pid: number): void {
  if (!watched.delete(pid)) return;
  say(`forget ${pid}`);
  if (watched.size > 0) return;
  const last = guard;
  guard = null;
  if (last !== null) dismiss(last);
}

function dismiss(child: ChildProcess): void {
  // Whoever waits for its end must still be there then.
  child.ref();
  const left = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });
  leaving.add(left);
  void left.then(() => leaving.delete(left));
  child.stdin?.end('goodbye\n');
}

/** Resolves when every guard that has nothing left to watch has ended: it does so a moment after what it watched. */
export async function guardsEnded(): Promise<void> {
  await Promise.all(leaving);
}
