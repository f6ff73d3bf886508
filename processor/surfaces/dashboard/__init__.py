"""The live dashboard: static files for a browser, served as they lie here.

1. Plain ES modules, no build step, nothing from elsewhere: the page works without internet. It needs only
   ``/api/overview``, ``/api/sessions``, ``/api/sessions/{id}`` and ``/ws`` of the address it came from.
2. It keeps to ``default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'``, and to
   ``require-trusted-types-for 'script'``: no inline script, no inline style (values reach the style through custom
   properties set from the scripts). Pinned by every visit of ``tests/browser``.
3. Everything that comes from the server, session ids above all, is shown as text and never parsed as HTML.
4. What is drawn is a sample: messages only change data, and the data is drawn at most four times a second, so that
   a thousand updates a second cost the browser no more than ten. Pinned by ``tests/browser/test_pace.py``.

`index.html` is the frame, `main.js` puts the parts together; a module draws one part, its styles stand in `parts.css`
or, for a session's page, in `session.css`.
"""
