"""bench/figures/run on a library that is a script: what it asks, what it reports, and what it says of what is missing."""
import json
import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RUN = os.path.join(ROOT, 'bench/figures/run')

# Answers as figures_subject does; a pass takes as many milliseconds as its mask has letters. Vim cannot be made.
SUBJECT = '''#!{python}
import sys
arguments = sys.argv[1:]
if 'vim' in arguments:
    sys.exit('figures_subject: no')
mask = arguments[arguments.index('--mask') + 1] if '--mask' in arguments else ''
for line in sys.stdin:
    word = line.split()[0]
    answer = {{'run': '{{"seconds": %g}}' % (1e-3 * len(mask or 'hydra')),
               'about': '{{"peak_bytes": 1048576, "before_bytes": 0, "scratch_bytes": 1024}}'}}
    print(answer.get(word, '{{}}'), flush=True)
'''


class Figures(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.subject, self.json = (os.path.join(self.folder.name, name) for name in ('subject', 'report.json'))
        with open(self.subject, 'w') as file:
            file.write(SUBJECT.format(python=sys.executable))
        os.chmod(self.subject, 0o755)

    def run_figures(self, *arguments):
        return subprocess.run([sys.executable, RUN, '--quick', '--threads', '1', '--subject', self.subject, '--peers',
                               os.path.join(self.folder.name, 'none'), '--json', self.json, *arguments],
                              capture_output=True, text=True)

    def studies(self):
        with open(self.json) as file:
            report = json.load(file)
        self.assertEqual(report['format'], 'lion figures 1')
        return report['studies']

    def test_times_what_is_there_and_says_what_is_not(self):
        ran = self.run_figures('--only', 'operator', 'resolution')
        self.assertIn('is written; no figures, since', ran.stderr)
        studies = self.studies()
        self.assertEqual(set(studies), {'operator', 'resolution'})
        for study in studies.values():
            self.assertGreater(study['machine']['cores'], 0)
            for point in study['points'].values():
                for entry in point['entries'].values():
                    seconds = entry['seconds']
                    self.assertGreaterEqual(len(seconds['values']), 2)
                    self.assertLessEqual(seconds['min'], seconds['median'])
                    self.assertLessEqual(seconds['median'], seconds['max'])
        point = studies['operator']['points']['64/1']
        self.assertEqual((point['length'], point['threads']), (64, 1))
        self.assertAlmostEqual(point['entries']['lion decay chunk']['seconds']['median'], 5e-3)
        self.assertIn('bench/peers/install', point['left_out']['torch softmax'])
        point = studies['resolution']['points']['64']
        self.assertEqual((point['image_size'], point['tokens']), (64, 17))
        self.assertEqual(point['entries']['LION-S rnn']['peak_bytes'], 2 ** 20)
        self.assertIn('the process ended', point['left_out']['Vim'])
        self.assertNotIn('Vim', point['entries'])

    def test_keeps_the_other_studies_and_leaves_out_what_takes_too_long(self):
        self.run_figures('--only', 'chunk')
        before = self.studies()['chunk']
        self.run_figures('--only', 'operator', '--seconds', '0.008')
        self.assertEqual(self.studies()['chunk'], before)
        points = self.studies()['operator']['points']
        # Softmax takes 7 ms at 64 tokens, so four times that are expected of 128.
        self.assertIn('lion softmax', points['64/1']['entries'])
        self.assertIn('a pass would take about', points['128/1']['left_out']['lion softmax'])

    def test_measures_some_entries_and_keeps_the_others(self):
        self.run_figures('--only', 'chunk')
        before = self.studies()['chunk']['points']
        self.run_figures('--only', 'chunk', '--entries', 'lion decay chunk', '--points', '128/16')
        after = self.studies()['chunk']['points']
        self.assertEqual(set(after), set(before))
        self.assertEqual(set(after['128/16']['entries']), set(before['128/16']['entries']))
        self.assertEqual(after['128/16']['entries']['lion linear chunk'], before['128/16']['entries']['lion linear chunk'])
        self.run_figures('--only', 'chunk', '--entries', 'no such entry')
        self.assertEqual(self.studies()['chunk']['points'], after)


if __name__ == '__main__':
    unittest.main()
