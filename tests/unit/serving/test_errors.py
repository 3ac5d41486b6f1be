"""The error that all parts of the server raise."""

import pickle

from oryx.errors import OryxError
from oryx.serving.errors import RequestError


def test_it_is_a_sentence_with_a_status_in_openais_shape():
    plain = RequestError("it is wrong.")
    assert isinstance(plain, OryxError)
    assert str(plain) == "it is wrong."
    assert (plain.status, plain.type, plain.code, plain.param) == (400, "invalid_request_error", None, None)
    full = RequestError("too much.", status=503, type="server_error", code="queue_full", param="messages")
    assert full.to_dict() == {
        "error": {"message": "too much.", "type": "server_error", "param": "messages", "code": "queue_full"}
    }


def test_it_comes_through_a_pickle():
    error = RequestError("too much.", 413, "a", "b", "c")
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == "too much."
    assert again.to_dict() == error.to_dict()
    assert again.status == 413
