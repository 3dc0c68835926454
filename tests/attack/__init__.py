"""The attack book: attacks of unknown peers on a live node, and the conditions that must hold afterwards.

Each attack is a test against a whole node (`live`: app, libp2p, store, toy engine, local API) over real sockets, with
an honest neighbour. Each test ends in `Live.survives`, which checks that the attack was counted under the names that
the test gives, that the neighbour's question is answered and its record arrives, that `/v1/status` confirms this, that
connections, tasks and files are as before, and that no error and no traceback was logged. Attackers are in `enemy`.
The only list of attacks is below, and `test_book` checks that it is complete.

Handshake (`test_handshake`): before anybody has shown a key.
  bytes that are no handshake             test_garbage_instead_of_a_handshake
  plaintext and other security offers     test_plaintext_security_offers
  garbage keys, another's signature       test_garbage_keys_in_the_handshake
  half-open connection flood              test_half_open_connection_flood
  handshakes that stop half way           test_handshakes_that_stop_half_way
  more identities than places             test_more_identities_than_places
  many connections of one key             test_many_connections_of_one_key

Muxer (`test_muxer`): below the protocols.
  malformed, truncated, oversized frames  test_garbage_for_the_muxer
  stream flood                            test_stream_flood
  streams that are never used             test_streams_that_are_never_used
  bytes beyond the window                 test_bytes_that_nobody_reads
  a peer that does not read               test_a_peer_that_does_not_read
  cancellation in the middle of a write   test_cancellation_in_the_middle_of_a_write
  streams that are reset half way         test_answers_that_the_asker_gives_up
  a peer that vanishes                    test_a_peer_that_vanishes

Frames (`test_frames`): of every protocol that the node speaks.
  malformed, truncated, oversized, deep   test_malformed_frames
  noise for identify and ping             test_noise_on_basic_protocols
  stream negotiation                      test_malformed_stream_negotiation
  gossip RPCs that are none               test_malformed_gossip
  gossip that ends in a frame             test_truncated_gossip

Gossip (`test_gossip`): well-formed frames with ill intent.
  subscription flood                      test_subscription_flood
  topics of any length                    test_topics_of_any_length
  IHAVE spam                              test_ihave_spam
  ids that are none                       test_offers_of_malformed_ids
  IWANT spam                              test_iwant_spam
  GRAFT flood                             test_graft_flood
  control for unknown topics              test_control_for_topics_that_are_none
  signed messages                         test_signed_messages
  oversized messages                      test_a_message_larger_than_allowed
  a second gossip stream                  test_a_second_gossip_stream
  burst of 5,000 garbage messages         test_a_burst_of_garbage
  burst of 5,000 equal messages           test_a_burst_of_one_message
  burst of 5,000 good messages            test_a_burst_of_good_messages

Records (`test_records`): inside good gossip.
  wrong signatures, keys, payloads        test_wrong_records
  unknown kinds, the far future           test_records_that_are_not_for_now
  the far past                            test_records_of_the_far_past
  forks                                   test_a_log_that_forks_everywhere
  records without a beginning             test_records_without_those_before_them
  replay of a whole old ledger            test_replay_of_a_whole_old_ledger
  another network's ledger                test_the_ledger_of_another_network
  malformed batches                       test_batches_that_are_none

Sync (`test_sync`): by a neighbour from which the node fetches.
  answers that are none                   test_answers_that_are_none
  oversized answers                       test_an_answer_larger_than_allowed
  records that never come                 test_records_that_are_announced_and_never_come
  forged records                          test_records_with_wrong_signatures
  reconciliation without end              test_a_reconciliation_without_end
  a certified cut that is none            test_a_certified_cut_that_does_not_exist
  replay of a stranger's log              test_replay_of_a_strangers_log_through_sync
  answers that never come                 test_answers_that_never_come

Requests (`test_requests`): by members and strangers.
  forged, stale and malformed requests    test_wrong_requests
  replay of a request                     test_replay_of_a_request
  a client that leaves in the middle      test_a_client_that_leaves_in_the_middle
  a prompt as long as the context         test_a_prompt_that_fills_the_context
  a client that does not read             test_a_client_that_does_not_read
  a receipt that covers other tokens      test_a_responder_whose_receipt_does_not_cover_its_stream
  oversized requests                      test_a_request_larger_than_allowed
  request flood                           test_request_flood
  requests that never come                test_requests_that_are_never_sent
  requests of strangers                   test_strangers_get_no_answers

Evidence (`test_evidence`): what a node shows of disputes.
  malformed requests                      test_malformed_requests_for_evidence
  evidence of what is not disputed        test_evidence_of_what_is_not_disputed
  oversized requests                      test_a_request_for_evidence_larger_than_allowed
  flood                                   test_evidence_flood
  requests of strangers                   test_strangers_get_no_evidence

Cheques (`test_cheques`): of clients that a node answered.
  malformed cheques                       test_malformed_cheques
  forged cheques                          test_forged_cheques_to_a_node_without_a_tariff
  oversized cheques                       test_a_cheque_larger_than_allowed
  flood                                   test_cheque_flood

Reports (`test_reports`): of wrong answers that clients are said to have got.
  forged reports                          test_forged_reports
  reports of keys without weight          test_reports_of_keys_without_weight
  questions that others may not see       test_questions_of_reports_are_shown_to_nobody_else

Blobs (`test_blobs`): files of models, fetched from the node and by it.
  malformed requests                      test_malformed_requests_for_blobs
  files of the home, files by any name    test_files_that_no_record_names
  flood                                   test_a_flood_of_requests_for_blobs
  askers that do not read                 test_askers_that_do_not_read_their_blobs
  requests of strangers                   test_strangers_get_no_blobs
  false files and lists, endless ones     test_false_files

States (`test_states`): of the node, asked for by newcomers.
  malformed requests                      test_malformed_requests_for_states
  states, leaves and records unknown      test_states_that_the_node_does_not_serve
  flood                                   test_a_flood_of_requests_for_states
  requests of strangers                   test_strangers_get_no_states

Relays (`test_relays`): circuits through the node, and dial-back.
  messages that are none                  test_messages_of_circuits_that_are_none
  the node as an open proxy               test_circuits_to_whom_nobody_reserved
  reservations without end                test_a_flood_of_reservations
  a relay that nobody chose               test_circuits_that_nobody_asked_for
  a port scanner                          test_dial_back_of_strangers

Local API (`test_api`): while the node takes part in its network.
  requests that are none                  test_requests_that_are_none
  all places taken                        test_connections_that_say_nothing
"""
