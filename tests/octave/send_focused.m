function send_focused(endpoint, file)
%SEND_FOCUSED  A walking aperture on an L12-5 38mm; the receive buffer comes from a file of int16, column by column.
Trans = rtelasto_probe('L12-5 38mm');
S = rtelasto_sequence(Trans, struct('focus_mm', 6, 'n_lines', 9, 'f_number', 2, 'end_depth_mm', 10));
[Receive, rows] = received(S.Receive, 640);
TW = S.TW;
TW.peak = 1.5;
meta = rtelasto_channel_meta(Trans, S.Resource, Receive, S.TX, TW, S.Event);
opened = fopen(file, 'r');
buffer = fread(opened, [rows, 128], 'int16=>int16');
fclose(opened);
rtelasto_mex('open', endpoint);
wait_for_subscriber();
rtelasto_mex('send', buffer, meta);
rtelasto_mex('close');
end
