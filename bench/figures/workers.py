"""Processes that are measured in turns, and the report of what they took."""
import json
import os
import platform
import statistics
import subprocess
import sys
import time


class Unavailable(Exception):
    """Says in a sentence why an entry is left out."""


def machine():
    """What a reader must know of where figures come from."""
    model, memory, load = 'unknown', 0, os.getloadavg()[0]
    with open('/proc/cpuinfo') as file:
        lines = [line.partition(':') for line in file]
    names = [value.strip() for key, _, value in lines if key.strip() == 'model name']
    flags = next((value.split() for key, _, value in lines if key.strip() == 'flags'), [])
    with open('/proc/meminfo') as file:
        memory = int(file.readline().split()[1]) * 1024
    wanted = ('avx2', 'avx512f', 'avx512_vnni', 'avx512_bf16', 'amx_bf16')
    return {'processor': names[0] if names else model, 'cores': os.cpu_count(), 'memory_bytes': memory,
            'vectors': [flag for flag in wanted if flag in flags], 'system': platform.platform(terse=True),
            'load_at_start': load}


def commit():
    """Of the working tree that holds this file, or nothing outside one."""
    try:
        return subprocess.run(['git', 'describe', '--always', '--dirty'], capture_output=True, text=True,
                              cwd=os.path.dirname(os.path.abspath(__file__))).stdout.strip()
    except OSError:  # no git
        return ''


class Worker:
    """A process that answers lines by lines of JSON."""

    def __init__(self, command, cores, threads):
        environment = dict(os.environ, OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads))
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=environment, preexec_fn=lambda: os.sched_setaffinity(0, cores))

    def ask(self, line):
        """The answer to a line; a peer's `skipped` and a failure are Unavailable."""
        try:
            self.process.stdin.write(line + '\n')
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ''
        if not answer:
            raise Unavailable(f'the process ended ({self.process.poll()})')
        reply = json.loads(answer)
        for key in ('skipped', 'failed'):
            if key in reply:
                raise Unavailable(reply[key])
        return reply

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


class Entry:
    """What is timed under a name: the library's own process, or a peer in a process that it may share."""

    def __init__(self, name, worker, label=None, compiles=False, **about):
        self.name, self.worker, self.label, self.about = name, worker, label, about
        self.compiles = compiles  # in its first pass

    def run(self, passes):
        return self.worker.ask(f'run {self.label} {passes}' if self.label else f'run {passes}')['seconds']

    def error(self, path):
        """Relative error of its last output against the file's."""
        return self.worker.ask(f'check {self.label} {path}' if self.label else f'check {path}')['error']

    def close(self):
        if self.label:
            try:
                self.worker.ask(f'drop {self.label}')
            except Unavailable:
                pass
        else:
            self.worker.close()


def spread(values):
    return {'median': statistics.median(values), 'min': min(values), 'max': max(values), 'values': values}


class Bench:
    """Where studies put their entries and points."""

    def __init__(self, options, scratch, serve):
        self.options, self.scratch, self.serve = options, scratch, serve
        self.quick, self.rates, self.peers = options.quick, {}, {}
        self.report = {'format': 'lion figures 1', 'studies': {}}
        self.commit = commit()  # before the report, a file of the tree, changes
        if os.path.exists(options.json):
            with open(options.json) as file:
                self.report = json.load(file)

    # ------------------------------------------------------------ processes

    def cores(self, threads):
        """The last ones: what else runs is likelier on the first."""
        return set(sorted(os.sched_getaffinity(0))[-threads:])

    def subject(self, name, threads=1, **options):
        """The library's process for a subject with these options."""
        command = [self.options.subject, name, '--threads', str(threads)]
        for key, value in options.items():
            command += ['--' + key.replace('_', '-'), str(value)]
        return Worker(command, self.cores(threads), threads)

    def peer_process(self, threads, shared=True):
        python = os.path.join(self.options.peers, 'bin/python')
        if not os.path.exists(python):
            raise Unavailable(f'{python} is not there (bench/peers/install makes it)')
        if not shared or threads not in self.peers:
            worker = Worker([python, self.serve, '--threads', str(threads)], self.cores(threads), threads)
            if not shared:
                return worker
            self.peers[threads] = worker
        return self.peers[threads]

    def end_peers(self):
        for worker in self.peers.values():
            worker.close()
        self.peers = {}

    def path(self, name):
        return os.path.join(self.scratch, name)

    # ------------------------------------------------------------ points

    def wanted(self, point):
        return not self.options.points or point in self.options.points

    def point(self, study, name, about, makers):
        """Measures entries in turns and writes them to the report: study.points[name]. Of an entry that takes more than a
        second the first pass counts where it is to have but one.

        makers: (name, function that returns an Entry, how much work it is beside that at other points).
        """
        if not self.wanted(name):
            return
        print(f'{study} {name}', file=sys.stderr, flush=True)
        result = dict(about, entries={}, left_out={})
        here = machine()  # with every point: they may be measured on different days
        entries = []
        earlier = {}
        if self.options.entries:
            makers = [maker for maker in makers if maker[0] in self.options.entries]
            if not makers:
                return
            earlier = self.report['studies'].get(study, {}).get('points', {}).get(name, {})
        for entry_name, make, work in makers:
            expected = self.rates.get((study, entry_name), 0) * work
            try:
                if expected > self.options.seconds:
                    raise Unavailable(f'a pass would take about {expected:.0f} s')
                entries.append(self.warmed(study, make(), result))
            except Unavailable as reason:
                result['left_out'][entry_name] = str(reason)
                print(f'  {entry_name} is left out: {reason}', file=sys.stderr, flush=True)
        self.time(entries, result)
        for entry in entries:
            result['entries'][entry.name].update(self.about(entry), commit=self.commit)
            entry.close()
        for file in os.listdir(self.scratch):  # no entry of the next point may take this one's inputs for its own
            os.remove(self.path(file))
        place = self.report['studies'].setdefault(study, {})
        place['machine'] = result['machine'] = here
        own = set(result['entries']) | set(result['left_out'])
        for kind in ('entries', 'left_out'):  # those that were not asked for stay
            kept = {key: value for key, value in earlier.get(kind, {}).items() if key not in own}
            result[kind] = {**kept, **result[kind]}
        place.setdefault('points', {})[name] = result
        work = {entry_name: work for entry_name, _, work in makers}
        for entry_name, values in result['entries'].items():
            if entry_name not in work:
                continue
            self.rates[study, entry_name] = values['seconds']['median'] / work[entry_name]
            error = f"  error {values['error']:.1e}" if 'error' in values else ''
            print(f"  {entry_name:32} {1e3 * values['seconds']['median']:12.3f} ms{error}", file=sys.stderr, flush=True)
        with open(self.options.json + '.part', 'w') as file:
            json.dump(self.report, file, indent=1)
        os.replace(self.options.json + '.part', self.options.json)

    def warmed(self, study, entry, result):
        """The entry after its first passes, compared with what it must agree with."""
        seconds = entry.run(1)
        values = result['entries'][entry.name] = dict(entry.about)
        against, tolerance = values.pop('against', None), values.pop('tolerance', 1e-4)
        if 'writes' in values:
            entry.worker.ask(f"output {values.pop('writes')}")
        if against:
            values['error'] = entry.error(against)
            if not values['error'] <= tolerance:
                del result['entries'][entry.name]
                entry.close()
                raise Unavailable(f"its result differs from the library's by {values['error']:.1e}")
        if entry.compiles:
            seconds = entry.run(1)
        entry.first, entry.rounds = seconds, 2 if self.quick else self.options.rounds
        if seconds > 1:  # what it has to warm up is little beside that
            entry.passes, entry.rounds = 1, min(entry.rounds, self.options.slow_rounds)
            return entry
        target = 0.01 if self.quick else 0.1
        entry.passes = max(1, min(100000, round(target / max(entry.run(1), 1e-7))))
        return entry

    def time(self, entries, result):
        once = {entry.name for entry in entries if entry.rounds == 1 and entry.first > 1}
        values = {entry.name: [entry.first] if entry.name in once else [] for entry in entries}
        for turn in range(max((entry.rounds for entry in entries), default=0)):
            first = turn % len(entries)
            for entry in entries[first:] + entries[:first]:
                if turn < entry.rounds and entry.name not in once:
                    time.sleep(0 if self.quick else 0.02)  # threads of the last one still spin
                    values[entry.name].append(entry.run(entry.passes))
        for name, seconds in values.items():
            result['entries'][name]['seconds'] = spread(seconds)

    @staticmethod
    def about(entry):
        about = entry.worker.ask('about')
        if entry.label:  # of a process that peers share, memory says nothing of one of them
            about.pop('versions', None)
            if not entry.about.get('own_process'):
                return {}
        return {key: value for key, value in about.items() if value}
