#!/usr/bin/env python3
"""What a job of a test runs: serve answers with what it gets, in upper case; train leaves a model and a metric; fail fails; sleep sleeps."""
import os
import sys
import time


def serve():
    import http.server

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self, status, body=b''):
            self.send_response(status)
            self.send_header('Content-Length', str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            self.answer(200 if self.path == '/ping' else 404)

        def do_POST(self):
            self.answer(200, self.rfile.read(int(self.headers['Content-Length'])).upper())

        def log_message(self, *_):
            pass

    http.server.ThreadingHTTPServer(('127.0.0.1', int(os.environ['SAGEMAKER_BIND_TO_PORT'])), Handler).serve_forever()


def train():
    with open(os.environ['SAGEMAKER_BASE_DIR'] + '/model/model.txt', 'w') as f:
        f.write('model')
    print('validation-loss:0.25;')


what = sys.argv[1] if len(sys.argv) > 1 else 'nothing'
{'serve': serve, 'train': train, 'nothing': lambda: None, 'fail': lambda: sys.exit(3), 'sleep': lambda: time.sleep(3600)}[what]()
