function varargout = rtelasto_mex(varargin) %#ok<INUSD,STOUT>
%RTELASTO_MEX  Send RF frames to rtelasto over ZeroMQ. Build it first: run build.m in this folder.
%   endpoint = rtelasto_mex('open', endpoint, options)
%     Binds, by default to tcp://127.0.0.1:5555; called again, it starts anew. options is a struct:
%       stream    id of this run, 1 to 64 characters; by default a new one each time
%       send_hwm  frames kept for a subscriber that is behind (16)
%       seq       number of the first message (0)
%       keys      folder made by `rtelasto keys` (docs/security.md): what is sent is encrypted, and only
%                 machines in its clients/ may connect. Needed for any endpoint but this machine's own
%                 (127.0.0.1, ::1, ipc)
%   rtelasto_mex('send', samples, meta)
%     Sends one frame and returns at once. samples is
%       [samples, lines] int16 or single                   meta.kind 'rf_lines' (default)
%       [pixels, lines] complex single or double           meta.kind 'iq'
%       [samples, channels, acquisitions] int16 or single  meta.kind 'channel'
%       [rows, channels] int16, acquisitions in rows       'channel' with meta.first_rows, n_samples
%     meta is a struct:
%       sampling_freq_hz, center_freq_hz, line_pitch_m, sound_speed_m_s
%       start_depth_m   depth of the first sample (0); for channel data c/2 times its time
%       frame_id        acquisition count; by default one more than the last
%       acquired_ns     int64, with clock 'monotonic', 'unix', 'scanner' or 'unknown'; by default now
%     and with 'iq':
%       demodulation_freq_hz, carrier ('removed' or 'kept')
%     and with 'channel':
%       angles_rad      one for each acquisition (transmit 'plane', the default), or
%       lines_m         x of each line (transmit 'focused')
%       origin_times_s, first_elements (counted from 0), one for each acquisition
%       n_elements      of the array, by default the channels sent
%       sampling        'uniform' (default) or 'quadrature'
%       columns         which column holds which channel, counted from 1, by default all in order;
%                       [channels, acquisitions] where that differs between acquisitions
%       first_rows, n_samples  where the acquisitions lie in rows, counted from 1
%     docs/wire.md says what they mean.
%   rtelasto_mex('send', I, meta, Q)
%     IQ as two real arrays.
%   stats = rtelasto_mex('stats')
%     sent; unheard (of them, without a subscriber); overflow (of them, lost to a subscriber that was behind);
%     failed (not sent); refused (connections, by the keys); bytes; last_s and worst_s, the time that 'send' took.
%   rtelasto_mex('close')
%     Unbinds. So does clear mex.
%
%   Errors carry identifiers rtelasto:open:… and rtelasto:send:… and send nothing.
error('rtelasto:build', 'rtelasto_mex is not built here: run build.m in %s', ...
    fileparts(mfilename('fullpath')));
end
