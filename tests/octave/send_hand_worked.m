function send_hand_worked(endpoint)
%SEND_HAND_WORKED  One receive buffer as a Vantage fills it, with values that can be worked out by hand.
Trans = rtelasto_probe('L12-5 38mm', 1500);
Trans.lensCorrection = 3;
S = rtelasto_sequence(Trans, struct('n_angles', 2, 'largest_angle', 5, ...
    'sample_mode', 'BS100BW', 'sound_speed', 1500, 'end_depth_mm', 5));
Receive = S.Receive;
for k = 1:numel(Receive)
    Receive(k).decimSampleRate = 31.25;
    Receive(k).quadDecim = 2;
    Receive(k).demodFrequency = 7.8125;
    Receive(k).startSample = 1 + 128 * (Receive(k).acqNum - 1);
    Receive(k).endSample = 128 * Receive(k).acqNum;
end
TW = S.TW;
TW.peak = 1.5;
meta = rtelasto_channel_meta(Trans, S.Resource, Receive, S.TX, TW, S.Event);
rtelasto_mex('open', endpoint);
wait_for_subscriber();
% Each column holds its own number, the second acquisition 1000 more.
rtelasto_mex('send', int16(repmat(1:128, 256, 1) + [zeros(128, 1); 1000 * ones(128, 1)]), meta);
rtelasto_mex('close');
end
